"""The bounds of each photo's verdict against `screen` at many thresholds."""

from pathlib import Path

import numpy as np
import pytest

from app.detector.detections import Detections
from app.photo.quality import PhotoQuality
from app.screening import Verdict, screen
from tests.app.detector.listed import listed
from training.data.annotations import AnnotatedPhoto
from training.measure.verdicts import photo_verdicts

GOOD = PhotoQuality(300, 120.0, 1.0, 0.5)
DARK = PhotoQuality(300, 10.0, 1.0, 0.5)
THRESHOLDS = np.linspace(0.01, 1, 60)


def random_photo(random: np.random.Generator) -> Detections:
    count = random.integers(0, 7)
    places = random.choice(10, count, replace=False)
    boxes = np.array([[0.2, 0.1 * n, 0.5, 0.1 * n + 0.08] for n in places], np.float32).reshape(-1, 4)
    return listed(boxes, random.uniform(0.02, 0.95, count), random.integers(1, 3, count))


def test_the_verdicts_are_those_of_the_server_at_every_threshold() -> None:
    random = np.random.default_rng(1)
    seen = [random_photo(random) for _ in range(150)]
    scored = [Detections(one.boxes, one.scores**1.5, one.class_ids) for one in seen]
    qualities = [DARK if number % 9 == 0 else GOOD for number in range(150)]
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    photos = [AnnotatedPhoto(Path("x.jpg"), 9, 9, *empty, "g", 0)] * 150
    verdicts = photo_verdicts(photos, seen, scored, qualities)
    every = []
    for threshold in [*THRESHOLDS, *np.concatenate([one.scores for one in scored[:30]]).tolist()]:
        expected = [
            screen(after, quality, seen=before, screened_class_id=2, score_threshold=threshold).verdict
            for before, after, quality in zip(seen, scored, qualities, strict=True)
        ]
        assert verdicts.at(threshold) == expected
        every += expected
    assert set(every) == set(Verdict)


def test_shares_are_of_the_photos_of_each_kind() -> None:
    ill, well = (
        AnnotatedPhoto(Path("x.jpg"), 9, 9, np.zeros((1, 4), np.float32), np.array([class_id], np.int32), "g", 0)
        for class_id in (2, 1)
    )
    boxes = np.array([[0.2, 0.1 * n, 0.5, 0.1 * n + 0.08] for n in range(4)], np.float32)
    suspect = listed(boxes, [0.9, 0.9, 0.9, 0.5], [1, 1, 1, 2])
    photos, seen = [ill, ill, well, well], [suspect, Detections.empty(), suspect, suspect]
    verdicts = photo_verdicts(photos, seen, seen, [GOOD] * 4)
    assert verdicts.shares(np.array([0.4, 0.4, 0.4, 0.6])) == {
        "photos without caries suspected": 0.5,
        "photos with caries called no_caries_found": 0.0,
        "not assessable": 0.25,
    }
    assert verdicts.shares(np.full(4, 0.6))["photos with caries called no_caries_found"] == 0.5
    assert verdicts.take([0, 1]).shares(np.full(2, 0.6))["photos without caries suspected"] is None
    assert verdicts.at(0.6)[1] is Verdict.NOT_ASSESSABLE
    assert verdicts.suspected_to[0] == pytest.approx(0.5)
