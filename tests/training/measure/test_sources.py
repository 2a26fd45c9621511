from dataclasses import replace

import numpy as np
import pytest

from tests.training.measure.conftest import synthetic
from training.measure.assessment import assess
from training.measure.metrics import interval
from training.measure.report import markdown
from training.measure.sources import assess_sources


def two_sources():
    """Twelve photos of every tooth, and six of carious teeth only."""
    photos, predictions = synthetic(1)
    others, found = synthetic(2, photos=6, caries=0.9)
    caries_only = [
        replace(photo, source="ill", boxes=photo.boxes[kept], class_ids=photo.class_ids[kept])
        for photo in others
        for kept in [photo.class_ids == 2]
    ]
    return [replace(photo, source="every") for photo in photos], predictions, caries_only, found


def test_the_mean_counts_each_source_once_with_an_interval_of_its_draws() -> None:
    photos, predictions, others, found = two_sources()
    result = assess_sources([*photos, *others], [*predictions, *found], score_threshold=0.4, resamples=40)
    every, ill = (
        assess(*one, score_threshold=0.4, resamples=40, seed=seed)
        for seed, one in enumerate([(photos, predictions), (others, found)])
    )
    assert list(result.sources) == ["every", "ill"]
    for name in ("AP@.5 caries", "F1", "calibration error"):
        value, bounds = result.figures[name]
        assert value == pytest.approx(np.mean([every.figures[name].value, ill.figures[name].value])), name
        assert bounds == pytest.approx(interval((every.draws[name] + ill.draws[name]) / 2)), name


def test_a_source_without_normal_boxes_is_left_out_of_their_figures() -> None:
    photos, predictions, others, found = two_sources()
    result = assess_sources([*photos, *others], [*predictions, *found], score_threshold=0.4, resamples=10)
    for name in ("AP@.5 normal", "mAP@.5", "mAP@.5:.95", "class right on found teeth"):
        assert result.figures[name].value == result.sources["every"].figures[name].value, name
        assert result.of(name)["ill"].value is None, name
    text = markdown(result, "# Two")
    row = next(line for line in text.splitlines() if line.startswith("| ill | 6 |"))
    assert row.endswith("| - |")
    assert any(line.startswith("| mean |  |") for line in text.splitlines())


def test_one_source_is_as_without_a_name() -> None:
    photos, predictions, others, found = two_sources()
    result = assess_sources(photos, predictions, score_threshold=0.4, resamples=10)
    assert result.as_dict() == assess(photos, predictions, score_threshold=0.4, resamples=10).as_dict()
    several = assess_sources([*photos, *others], [*predictions, *found], resamples=3).as_dict()
    assert set(several) == {"score_threshold", "figures", "sources"}
