import numpy as np
import pytest

from app.detector.detections import Detections
from app.detector.fusion import fuse

TOOTH, BESIDE_IT, FAR = [0.1, 0.1, 0.3, 0.2], [0.1, 0.12, 0.3, 0.22], [0.1, 0.5, 0.3, 0.6]


def test_one_look_stays_as_it_is() -> None:
    look = Detections([TOOTH, BESIDE_IT], [0.9, 0.01], [2, 2])
    assert fuse([look]) is look


def test_scores_of_a_tooth_are_means_over_the_looks_and_its_box_is_theirs_weighted() -> None:
    found = fuse([Detections([TOOTH, TOOTH], [0.6, 0.2], [2, 1]), Detections([BESIDE_IT], [0.3], [2])])
    assert found.class_ids.tolist() == [2, 1]
    assert found.scores == pytest.approx([0.45, 0.1]), "a look that does not name a class gives it 0"
    between = (2 * np.array(TOOTH) + np.array(BESIDE_IT)) / 3
    assert found.boxes == pytest.approx(np.array([between, between]), abs=1e-6)


def test_a_look_counts_once_for_a_tooth() -> None:
    found = fuse([Detections([TOOTH, BESIDE_IT], [0.8, 0.7], [2, 2]), Detections([TOOTH], [0.4], [2])])
    assert found.scores == pytest.approx([0.6])
    assert found.boxes == pytest.approx(np.array([TOOTH]), abs=1e-6), "of each look its best box"


def test_a_tooth_that_one_look_sees_keeps_its_place_and_a_share_of_its_score() -> None:
    found = fuse([Detections([TOOTH], [0.9], [1]), Detections([FAR], [0.6], [2]), Detections.empty()])
    assert found.scores == pytest.approx([0.3, 0.2])
    assert found.class_ids.tolist() == [1, 2]
    assert found.boxes == pytest.approx(np.array([TOOTH, FAR]), abs=1e-6)


def test_what_no_look_sees_is_not_there() -> None:
    assert len(fuse([Detections.empty(), Detections.empty()])) == 0


def test_boxes_at_the_edge_stay_within_the_photo() -> None:
    edge = [0.7, 0.9, 1.0, 1.0]
    found = fuse([Detections([edge], [0.3], [1]), Detections([edge], [0.7], [1]), Detections([edge], [0.1], [1])])
    assert found.boxes == pytest.approx(np.array([edge]))
