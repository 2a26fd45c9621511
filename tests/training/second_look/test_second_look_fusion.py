from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.detections import Detections
from training.annotations import AnnotatedPhoto
from training.score_calibration import CalibrationError
from training.score_calibration import cross_fitted as calibrated
from training.second_look.end_to_end import BASE, LABELLED, compare, parts_of, table
from training.second_look.fusion import SeenTeeth, apply, classifier_logits, cross_fitted, fit, other_teeth


def sample(photos: int = 50) -> tuple[list[AnnotatedPhoto], list[Detections], list[SeenTeeth]]:
    """Photos of eight teeth; a detector whose class is right in 70 % and a second look that is right in 90 %."""
    random = np.random.default_rng(3)
    boxes = np.array([[0.2, 0.12 * n, 0.5, 0.12 * n + 0.1] for n in range(8)], np.float32)
    labelled, detected, seen = [], [], []
    for number in range(photos):
        truth = random.integers(1, 3, 8)
        guess = np.where(random.random(8) < 0.7, truth, 3 - truth)
        sure = random.uniform(0.6, 0.9, 8)
        found = Detections(np.concatenate([boxes, boxes]), [*sure, *(1 - sure)], [*guess, *(3 - guess)])
        labelled.append(
            AnnotatedPhoto(Path(f"{number}.jpg"), 100, 100, boxes, truth.astype(np.int32), f"g{number}", number % 5)
        )
        detected.append(found)
        teeth = SeenTeeth.of(found)
        # The teeth come by score, as the labels of their boxes have to.
        places = [int(np.abs(boxes - box).sum(axis=1).argmin()) for box in teeth.boxes]
        is_caries = (truth[places] == 2) == (random.random(8) < 0.9)
        looked = np.where(is_caries[:, None], [0.1, 0.9], [0.9, 0.1])
        seen.append(replace(teeth, opinions={"looks": classifier_logits(looked), "others": other_teeth(teeth)}))
    return labelled, detected, seen


def test_without_a_second_look_it_is_the_calibration() -> None:
    photos, detections, seen = sample()
    ours = cross_fitted(photos, seen, [], [photo.fold for photo in photos])
    for first, second in zip(ours, calibrated(photos, detections), strict=True):
        assert first.scores == pytest.approx(second.scores, abs=1e-6)
        assert (first.boxes == second.boxes).all()


def test_a_better_second_look_has_the_say() -> None:
    photos, detections, seen = sample()
    text = table(photos, compare(photos, detections, seen), resamples=3)
    figure = {line.split("|")[1].strip(): float(line.split("|")[-2].split("[")[0]) for line in text.splitlines()[2:]}
    assert figure[BASE] == pytest.approx(0.7, abs=0.05)
    assert figure["with looks"] == pytest.approx(0.9, abs=0.04)
    assert figure[f"with looks - {BASE}"] == pytest.approx(figure["with looks"] - figure[BASE], abs=1e-3)


def test_a_part_is_scored_by_the_others_alone() -> None:
    photos, _, seen = sample()
    parts = parts_of(photos)
    others = [place for place, part in enumerate(parts) if part != 2]
    fitted = fit([photos[place] for place in others], [seen[place] for place in others], ["looks"])
    scored = cross_fitted(photos, seen, ["looks"], parts)
    assert scored[2].scores == pytest.approx(apply(seen[2], ["looks"], fitted).scores)


def test_photos_of_one_fold_are_parted_by_group() -> None:
    photos, _, _ = sample()
    of_fold = [photo for photo in photos if photo.fold == 1]
    assert len(set(parts_of(of_fold))) > 1
    assert parts_of([photos[0], photos[0]]) == [parts_of([photos[0]])[0]] * 2


def test_what_cannot_be_fitted_is_said() -> None:
    photos, _, _ = sample(5)
    with pytest.raises(CalibrationError, match="no photo"):
        fit([], [], [])
    with pytest.raises(CalibrationError, match="of 0 teeth detected"):
        fit(photos, [SeenTeeth.of(Detections.empty())] * 5, [])
    blind = [Detections.empty()] * 5
    scored = compare(photos, blind, [SeenTeeth.of(found) for found in blind])
    assert list(scored) == ["detector", LABELLED]
    assert BASE not in table(photos, scored, resamples=2)


def test_the_class_as_labelled_is_the_upper_bound() -> None:
    photos, detections, seen = sample(20)
    text = table(photos, compare(photos, detections, seen), resamples=2)
    row = next(line for line in text.splitlines() if line.startswith(f"| {LABELLED} |"))
    assert [float(cell.split("[")[0]) for cell in row.split("|")[3:6]] == [1.0, 1.0, 1.0]


def test_other_teeth_say_how_carious_the_photo_is() -> None:
    boxes = np.array([[0.1, 0.1, 0.4, 0.3], [0.1, 0.5, 0.4, 0.7]], np.float32)
    sound = SeenTeeth(boxes, np.array([[0.9, 0.1], [0.8, 0.2]]))
    carious = SeenTeeth(boxes, np.array([[0.1, 0.9], [0.2, 0.8]]))
    assert other_teeth(sound) == pytest.approx(-other_teeth(carious))
    assert other_teeth(carious)[0, 0] > 0
    assert other_teeth(SeenTeeth.of(Detections.empty())).shape == (0, 1)
