import numpy as np
import pytest

from app.detector.detections import Detections
from app.detector.fusion import fuse
from tests.app.detector.listed import listed

TOOTH, NEXT_TO_IT, FAR = [0.1, 0.1, 0.3, 0.2], [0.1, 0.12, 0.3, 0.22], [0.1, 0.5, 0.3, 0.6]


def test_one_size_stays_unchanged() -> None:
    found = listed([TOOTH, NEXT_TO_IT], [0.9, 0.01], [2, 2])
    assert fuse([found]) is found


def test_a_tooth_has_the_mean_score_and_the_weighted_mean_box() -> None:
    found = fuse([listed([TOOTH, TOOTH], [0.6, 0.2], [2, 1]), listed([NEXT_TO_IT], [0.3], [2])])
    assert found.class_ids.tolist() == [2, 1]
    assert found.scores == pytest.approx([0.45, 0.1]), "a size without a box of the class counts as 0"
    between = (2 * np.array(TOOTH) + np.array(NEXT_TO_IT)) / 3
    assert found.boxes == pytest.approx(np.array([between, between]), abs=1e-6)


def test_a_size_counts_once_per_tooth() -> None:
    found = fuse([listed([TOOTH, NEXT_TO_IT], [0.8, 0.7], [2, 2]), listed([TOOTH], [0.4], [2])])
    assert found.scores == pytest.approx([0.6])
    assert found.boxes == pytest.approx(np.array([TOOTH]), abs=1e-6), "the best box of each size"


def test_a_tooth_found_at_one_size_keeps_its_box_and_a_share_of_its_score() -> None:
    found = fuse([listed([TOOTH], [0.9], [1]), listed([FAR], [0.6], [2]), Detections.empty()])
    assert found.scores == pytest.approx([0.3, 0.2])
    assert found.class_ids.tolist() == [1, 2]
    assert found.boxes == pytest.approx(np.array([TOOTH, FAR]), abs=1e-6)


def test_no_boxes_at_any_size() -> None:
    assert len(fuse([Detections.empty(), Detections.empty()])) == 0


def test_boxes_at_the_edge_stay_within_the_photo() -> None:
    edge = [0.7, 0.9, 1.0, 1.0]
    found = fuse([listed([edge], [0.3], [1]), listed([edge], [0.7], [1]), listed([edge], [0.1], [1])])
    assert found.boxes == pytest.approx(np.array([edge]))
