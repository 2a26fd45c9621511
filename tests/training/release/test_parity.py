import numpy as np
import pytest

from app.detector.detections import Detections
from tests.app.detector.listed import listed
from training.release.parity import compare

REFERENCE = listed([[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9], [0, 0, 1, 1]], [0.9, 0.6, 0.05], [2, 1, 1])


def test_rounding_is_rounding() -> None:
    other = listed(REFERENCE.boxes + np.float32(1e-6) * (REFERENCE.boxes < 1), REFERENCE.scores, REFERENCE.class_ids)
    parity = compare([REFERENCE], [other])
    assert parity.is_rounding
    assert parity.compared == 3


def test_models_that_see_nothing_prove_nothing() -> None:
    assert not compare([Detections.empty()], [Detections.empty()]).is_rounding


@pytest.mark.parametrize(
    ("boxes", "scores", "class_ids", "not_found"),
    [
        (REFERENCE.boxes, [0.9, 0.59, 0.05], [2, 1, 1], 0),
        (REFERENCE.boxes + np.array([[0.01], [0], [0]]), [0.9, 0.6, 0.05], [2, 1, 1], 0),
        (REFERENCE.boxes, [0.9, 0.6, 0.05], [2, 2, 1], 1),
        (REFERENCE.boxes[:1], [0.9], [2], 2),
    ],
)
def test_more_than_rounding_is_told(boxes, scores, class_ids, not_found) -> None:
    parity = compare([REFERENCE], [Detections(boxes, scores, class_ids)])
    assert not parity.is_rounding
    assert parity.not_found == not_found


def test_a_tie_that_rounding_decided_otherwise_is_no_difference() -> None:
    """Two boxes on one tooth with the same score: suppression keeps the one or the other."""
    moved = REFERENCE.boxes.copy()
    moved[0, 0] += 0.15 * (moved[0, 2] - moved[0, 0])
    parity = compare([REFERENCE], [Detections(moved, REFERENCE.scores, REFERENCE.class_ids)])
    assert (parity.not_found, parity.ties) == (0, 1)
    assert parity.is_rounding
    lower = REFERENCE.scores - np.array([0.0001, 0, 0], np.float32)
    assert compare([REFERENCE], [Detections(moved, lower, REFERENCE.class_ids)]).not_found == 1


def test_boxes_beyond_the_limit_are_a_tie_only_where_the_scores_are_the_same() -> None:
    """A model that scores everything higher has lost the reference's boxes, however many it returns."""
    others = np.array([[0.0, 0.6, 0.2, 0.9], [0.6, 0.0, 0.9, 0.2], [0.2, 0.6, 0.4, 0.9]], np.float32)
    for lowest, not_found in ((0.05, 2), (0.2, 3)):
        found = listed(others, [0.95, 0.9, lowest], [2, 1, 1])
        assert compare([REFERENCE], [found]).not_found == not_found
