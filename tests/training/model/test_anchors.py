import numpy as np
import pytest

from app.detector.boxes import box_iou
from training.data.annotations import read_annotated_photos
from training.model.anchors import (
    LEVELS,
    SCALES_PER_OCTAVE,
    STOCK_RATIOS,
    STOCK_SCALE,
    STUDY_RATIOS,
    Anchors,
    Candidate,
    all_boxes,
    measure,
    reach,
    search,
)

STOCK = Anchors(STOCK_RATIOS, STOCK_SCALE, 320)
NORMAL, CARIES = 1, 2


def all_anchors(anchors: Anchors) -> np.ndarray:
    return np.concatenate([level.reshape(-1, 4) for level in anchors.levels()]) / np.float32(anchors.input_size)


def random_boxes(count: int, *, height: tuple[float, float], aspect_ratio: float) -> np.ndarray:
    """Boxes inside the photo, sides as fractions of it."""
    random = np.random.default_rng(0)
    corners = random.uniform(0.0, 0.6, (count, 2))
    heights = random.uniform(*height, (count, 1))
    return np.concatenate([corners, corners + heights * [1, aspect_ratio]], axis=1).astype(np.float32)


def test_the_grid_is_the_apis() -> None:
    """At 320 pixels there are 40, 20, 10, 5 and 3 places a side, with six shapes each; the smallest is 32 pixels."""
    assert [level.shape for level in STOCK.levels()] == [(side, side, 6, 4) for side in (40, 20, 10, 5, 3)]
    np.testing.assert_allclose(STOCK.levels()[0][0, 0, 0], [-12, -12, 20, 20], atol=1e-4)
    shapes = STOCK.shapes()
    assert shapes.shape == (30, 2)
    assert shapes.prod(axis=1).min() == pytest.approx(32**2, rel=1e-4)
    assert sorted(set(np.round(shapes[:, 1] / shapes[:, 0], 3))) == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("architecture", ["ssd_mobilenet_v2_fpnlite", "ssd_resnet50_v1_fpn"])
def test_levels_and_octaves_are_those_of_the_stock_configurations(architecture) -> None:
    from google.protobuf import text_format

    import training.compat  # noqa: F401
    from training.model.configure import CONFIGS
    from object_detection.protos import pipeline_pb2

    text = (CONFIGS / f"{architecture}.config").read_text()
    pipeline = text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())
    stock = pipeline.model.ssd.anchor_generator.multiscale_anchor_generator
    assert (stock.min_level, stock.max_level) == LEVELS
    assert stock.scales_per_octave == SCALES_PER_OCTAVE
    assert (tuple(stock.aspect_ratios), stock.anchor_scale) == (STOCK_RATIOS, STOCK_SCALE)


@pytest.mark.parametrize("input_size", [320, 288])
def test_reach_equals_a_comparison_with_every_anchor(input_size) -> None:
    """At 288 pixels some levels do not divide the input, and the API places their anchors differently."""
    anchors = Anchors((1.0, 0.35), 3.0, input_size)
    boxes = np.concatenate(
        [random_boxes(60, height=(0.02, 0.4), aspect_ratio=ratio) for ratio in (0.2, 0.6, 1.0)]
        + [np.array([[0, 0, 0.05, 0.04], [0.95, 0.9, 1, 1], [0, 0, 1, 1]], np.float32)]
    )
    found = reach(boxes, anchors)
    exact = box_iou(boxes, all_anchors(anchors))
    np.testing.assert_allclose(found.iou, exact.max(axis=1), atol=2e-5)
    column = 0
    for level in anchors.levels():
        shapes = level.shape[2]
        of_level = box_iou(boxes, level.reshape(-1, 4) / np.float32(input_size)).reshape(len(boxes), -1, shapes)
        np.testing.assert_allclose(found.overlaps[:, column : column + shapes], of_level.max(axis=1), atol=2e-5)
        column += shapes


def test_an_anchor_itself_is_reached_fully_and_a_sliver_is_not() -> None:
    inside = next(box for box in all_anchors(STOCK) if (box >= 0).all() and (box <= 1).all())
    sliver = np.array([0.1, 0.1, 0.9, 0.12], np.float32)
    found = reach(np.stack([inside, sliver]), STOCK)
    assert found.iou[0] == pytest.approx(1, abs=1e-5)
    assert found.unreached.tolist() == [False, True]


def test_half_of_an_anchor_is_reached() -> None:
    """Squares of 256 and of 256 times root 2 pixels are the only shapes inside the input: IoU is the share cut out."""
    squares = Anchors((1.0,), 32.0, 320)
    level = squares.levels()[0]
    anchor = level[20, 20, 0] / 320
    for part, is_unreached in ((0.52, False), (0.48, True)):
        ymin, xmin, ymax, xmax = anchor
        box = np.array([[ymin, (xmin + xmax) / 2 - (xmax - xmin) * part / 2, ymax, xmax]], np.float32)
        box[0, 3] = box[0, 1] + (xmax - xmin) * part
        assert reach(box, squares).iou[0] == pytest.approx(part, abs=1e-3)
        assert bool(reach(box, squares).unreached[0]) is is_unreached


def test_shares_are_counted_by_class() -> None:
    inside = next(box for box in all_anchors(STOCK) if (box >= 0).all() and (box <= 1).all())
    sliver = np.array([0.1, 0.1, 0.9, 0.12], np.float32)
    found = measure(np.stack([inside, inside, inside, sliver]), np.array([NORMAL, NORMAL, CARIES, CARIES]), STOCK)
    assert (found.unreached, found.unreached_caries) == (0.25, 0.5)


def test_the_search_finds_anchors_for_tall_teeth() -> None:
    boxes = random_boxes(60, height=(0.15, 0.3), aspect_ratio=0.2)
    classes = np.full(60, NORMAL, np.int32)
    found = search(boxes, classes, 320, count=3)
    unreached = [item.unreached for item in found if item.unreached is not None]
    assert len(unreached) == len(found)
    assert unreached == sorted(unreached)
    assert unreached[0] <= 0.05
    assert measure(boxes, classes, STOCK).unreached == 1
    assert min(found[0].anchors.aspect_ratios) == pytest.approx(0.2)
    assert len({item.anchors.scale for item in found}) == 3
    assert all(measure(boxes, classes, item.anchors) == item for item in found)
    assert search(boxes, classes, 320, count=3) == found


def test_no_boxes_give_no_share() -> None:
    found = measure(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), STOCK)
    assert (found.unreached, found.unreached_caries, found.mean_iou) == (None, None, None)


def share(reach: Candidate) -> float:
    assert reach.unreached is not None
    return reach.unreached


def test_on_the_real_photos_better_anchors_are_found(real_photos) -> None:
    """Teeth are smaller and narrower than the stock anchors and the study's; the recipe's fit better."""
    boxes, class_ids = all_boxes(read_annotated_photos(real_photos))
    stock, study, recipe = (
        share(measure(boxes, class_ids, Anchors(ratios, scale, 320)))
        for ratios, scale in ((STOCK_RATIOS, STOCK_SCALE), (STUDY_RATIOS, STOCK_SCALE), ((1.0, 0.5, 0.35), 3.0))
    )
    found = share(search(boxes, class_ids, 320)[0])
    assert found < recipe < study < stock
