import numpy as np
import pytest

from training.anchors import Anchors, measure, reach, search

STOCK = Anchors((1.0, 2.0, 0.5), 4.0, 320)


def test_the_grid_is_the_apis() -> None:
    """At 320 pixels there are 40, 20, 10, 5 and 3 places a side, with six shapes each; the smallest is 32 pixels."""
    boxes = STOCK.boxes() * 320
    assert len(boxes) == 6 * (40**2 + 20**2 + 10**2 + 5**2 + 3**2)
    sizes = np.unique(np.round(boxes[:, 2:] - boxes[:, :2], 2), axis=0)
    np.testing.assert_allclose(sizes, np.unique(np.round(STOCK.shapes(), 2), axis=0), atol=0.02)
    assert sizes.prod(axis=1).min() == pytest.approx(32**2, rel=1e-3)


def test_a_box_that_is_an_anchor_is_reached_in_full_and_a_sliver_by_none() -> None:
    anchors = STOCK.boxes()
    inside = next(box for box in anchors if (box >= 0).all() and (box <= 1).all())
    sliver = np.array([0.1, 0.1, 0.9, 0.12], np.float32)
    found = reach(np.stack([inside, sliver]), anchors)
    assert found.iou[0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(anchors[found.anchor[0]], inside, atol=1e-6)
    assert found.unreached.tolist() == [False, True]


def test_half_of_an_anchor_is_just_reached() -> None:
    ymin, xmin, ymax, xmax = next(box for box in STOCK.boxes() if (box >= 0.2).all() and (box <= 0.8).all())
    for share, is_unreached in ((0.52, False), (0.30, True)):
        one_shape = Anchors((1.0,), 16.0, 320)
        box = next(box for box in one_shape.boxes() if (box >= 0).all() and (box <= 1).all())
        cut = box.copy()
        cut[3] = cut[1] + (cut[3] - cut[1]) * share
        assert bool(reach(cut[None], box[None]).unreached[0]) is is_unreached
    assert ymax > ymin
    assert xmax > xmin


def test_the_search_finds_anchors_for_tall_teeth() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0.1, 0.6, (60, 2))
    heights = random.uniform(0.15, 0.3, (60, 1))
    boxes = np.concatenate([corners, corners + np.concatenate([heights, heights * 0.2], axis=1)], axis=1)
    found = search(boxes.astype(np.float32), 320)
    assert found[0].unreached <= found[-1].unreached
    assert found[0].unreached < measure(boxes.astype(np.float32), STOCK).unreached
    assert min(found[0].anchors.aspect_ratios) < 0.5


def test_no_boxes_are_all_reached() -> None:
    assert measure(np.zeros((0, 4), np.float32), STOCK).unreached == 0
