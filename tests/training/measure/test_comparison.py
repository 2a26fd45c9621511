import json
from dataclasses import replace

import numpy as np
import pytest

from app.detector.detections import Detections
from tests.training.conftest import LARGER
from tests.training.measure.conftest import synthetic
from training.cross_validation import assess_folds
from training.data.annotations import FOLDS
from training.measure.comparison import (
    compare_precisions,
    compare_sizes,
    difference,
    table_of_sizes,
    write_difference,
)
from training.measure.sources import assess_sources
from training.recipe import Recipe


def test_the_cost_of_int8_is_measured(cross_validation) -> None:
    text = compare_precisions(cross_validation, range(FOLDS))
    assert "int8 - float32  mAP@.5: " in text
    written = json.loads((cross_validation / "int8.json").read_text())
    assert written["mAP@.5"]["interval"][0] <= written["mAP@.5"]["value"] <= written["mAP@.5"]["interval"][1]
    assert abs(written["mAP@.5"]["value"]) < 0.1


def test_the_gain_of_a_larger_input_is_measured(cross_validation) -> None:
    text = compare_sizes(cross_validation, range(FOLDS), (LARGER,))
    assert f"{LARGER} px  mAP@.5: +" in text
    written = json.loads((cross_validation / f"at_{LARGER}" / "gain.json").read_text())
    assert 0 < written["best F1 caries"]["interval"][0] <= written["best F1 caries"]["value"] < 0.3


def test_differences_are_paired_by_source_and_mean(tmp_path) -> None:
    photos, found = synthetic(1)
    photos = [replace(photo, source=f"set {number % 3 % 2}") for number, photo in enumerate(photos)]
    worse = [Detections(one.boxes, one.scores, 3 - one.class_ids) for one in found]
    ours, same, theirs = (
        assess_sources(photos, one, score_threshold=0.4, resamples=30) for one in (found, found, worse)
    )
    assert set(difference(ours, same)) == {"set 0", "set 1", "mean"}
    for of_source in difference(ours, same).values():
        assert of_source["F1"] == (0, (0, 0)), "the same resamples"
    text = write_difference(ours, theirs, "# One less other", tmp_path)
    written = json.loads((tmp_path / "comparison.json").read_text())
    for source in ("set 0", "set 1", "mean"):
        gain = written[source]["figures"]["F1"]
        assert 0 < gain["interval"][0] <= gain["value"]
    value = np.mean([written[source]["figures"]["F1"]["value"] for source in ("set 0", "set 1")])
    assert written["mean"]["figures"]["F1"]["value"] == pytest.approx(value)
    assert text == (tmp_path / "comparison.md").read_text()
    assert "| figure | set 0 | set 1 | mean |" in text


def test_sizes_stand_side_by_side(cross_validation, tiny_recipe) -> None:
    recipe, every = Recipe.read(tiny_recipe), (None, (LARGER,))
    for sizes in every:
        assess_folds(cross_validation, recipe, range(FOLDS), sizes=sizes)
    compare_sizes(cross_validation, range(FOLDS), (LARGER,))
    text = table_of_sizes(cross_validation, every, has_int8=False)
    assert (cross_validation / "sizes.md").read_text() == text
    head, _, *rows = text.splitlines()
    assert head == f"| figure | 320 px | {LARGER} px | {LARGER} px less 320 px |"
    cells = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)}
    own, larger, gain = (float(cell.split()[0]) for cell in cells["best F1 caries"])
    assert larger - own == pytest.approx(gain, abs=0.0011)
    assert cells["best F1 caries"][2].startswith("+")
