"""How well anchors reach the teeth, and a search for aspect ratios and a scale that reach all of them.

An anchor matches from IoU 0.5 on (`matched_threshold`). A tooth that no anchor matches is assigned to its best one
(`force_match_for_each_row`), but is learnt from that one alone.

Figures are exact, over the full grid, without visiting all anchors: of the anchors of one shape, the one whose centre
is nearest to the box's centre overlaps it most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.annotations import CLASS_IDS, AnnotatedPhoto

MATCH_IOU = 0.5
"""IoU from which an anchor is trained to be the tooth; the stock configurations' `matched_threshold`."""

LEVELS = (3, 7)
SCALES_PER_OCTAVE = 2
"""Levels of the feature pyramid and sizes per level of the stock SSD configurations."""

SCALES = tuple(step / 4 for step in range(4, 25))
"""Anchor scales that the search tries, 1 to 6."""

RATIO_QUANTILES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Quantiles of the boxes' aspect ratios that the search tries, in addition to the stock ones."""

SEARCH_SAMPLE = 5000
"""Boxes at most, drawn at random, on which the search compares candidates."""

STOCK_RATIOS, STOCK_SCALE = (1.0, 2.0, 0.5), 4.0
"""The model zoo's."""

STUDY_RATIOS = (1.0, 2.85, 0.35)
"""The result of the study that the project follows."""

Boxes = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Anchors:
    """The anchors of an SSD: aspect ratios (width over height), scale (the smallest square anchor is `8 * scale` pixels
    wide) and input size in pixels."""

    aspect_ratios: tuple[float, ...]
    scale: float
    input_size: int

    def levels(self) -> list[Boxes]:
        """Every anchor as the API generates it, in input pixels: `[rows, columns, shapes, 4]` per level."""
        import training.compat  # noqa: F401
        from object_detection.anchor_generators import multiscale_grid_anchor_generator

        generator: Any = multiscale_grid_anchor_generator.MultiscaleGridAnchorGenerator(
            LEVELS[0],
            LEVELS[1],
            self.scale,
            [float(ratio) for ratio in self.aspect_ratios],
            SCALES_PER_OCTAVE,
            normalize_coordinates=False,
        )
        sides = [-(-self.input_size // 2**level) for level in range(LEVELS[0], LEVELS[1] + 1)]
        lists = generator.generate(
            [(side, side) for side in sides], im_height=self.input_size, im_width=self.input_size
        )
        return [
            item.get().numpy().astype(np.float32).reshape(side, side, -1, 4)
            for item, side in zip(lists, sides, strict=True)
        ]

    def shapes(self) -> Floats:
        """Height and width in pixels of each anchor shape, `[shapes, 2]`, by level."""
        corners = np.concatenate([level[0, 0] for level in self.levels()]).astype(np.float64)
        return corners[:, 2:] - corners[:, :2]


@dataclass(frozen=True, slots=True)
class Reach:
    """How well anchors reach boxes: the anchors, their shapes, and each box's IoU with the best anchor of each shape,
    `[boxes, shapes]`."""

    anchors: Anchors
    shapes: Floats
    overlaps: Floats

    @property
    def iou(self) -> Floats:
        """IoU of each box with its best anchor, `[boxes]`."""
        best: Floats = self.overlaps.max(axis=1, initial=0.0)
        return best

    @property
    def best_shape(self) -> npt.NDArray[np.int64]:
        """Position in `shapes` of each box's best anchor, `[boxes]`; the first of equals."""
        best: npt.NDArray[np.int64] = self.overlaps.argmax(axis=1)
        return best

    @property
    def unreached(self) -> npt.NDArray[np.bool_]:
        """Boxes that no anchor reaches at `MATCH_IOU`, `[boxes]`."""
        return self.iou < MATCH_IOU


def reach(boxes: Boxes, anchors: Anchors) -> Reach:
    """The best anchor of each shape for boxes `[n, 4]`, fractions of the photo, which is squeezed to the input."""
    corners = boxes.astype(np.float64) * anchors.input_size
    centres, sizes = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    overlaps, shapes = [], []
    for level in anchors.levels():
        grid = level.astype(np.float64)
        shape = grid[0, 0, :, 2:] - grid[0, 0, :, :2]
        common = np.ones((len(boxes), len(shape)))
        for axis, line in ((0, grid[:, 0, 0]), (1, grid[0, :, 0])):
            places = (line[:, axis] + line[:, axis + 2]) / 2
            distance = np.abs(centres[:, axis, None] - places).min(axis=1)[:, None]
            shorter = np.minimum(sizes[:, axis, None], shape[:, axis])
            common *= np.clip((sizes[:, axis, None] + shape[:, axis]) / 2 - distance, 0, shorter)
        overlaps.append(common / (sizes.prod(axis=1)[:, None] + shape.prod(axis=1) - common))
        shapes.append(shape)
    return Reach(anchors, np.concatenate(shapes), np.concatenate(overlaps, axis=1))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Anchors with the share of boxes, and of carious teeth, that they do not reach, and the mean IoU of a box with its
    best anchor; None without boxes."""

    anchors: Anchors
    unreached: float | None
    unreached_caries: float | None
    mean_iou: float | None


def measure(boxes: Boxes, class_ids: npt.NDArray[np.int32], anchors: Anchors) -> Candidate:
    """How well these anchors reach boxes `[n, 4]`, fractions, with class ids `[n]`."""
    found = reach(boxes, anchors)
    carious = found.unreached[class_ids == CLASS_IDS["caries"]]
    return Candidate(anchors, share(found.unreached), share(carious), float(found.iou.mean()) if len(boxes) else None)


def search(
    boxes: Boxes, class_ids: npt.NDArray[np.int32], input_size: int, *, count: int = 5, seed: int = 0
) -> list[Candidate]:
    """The best triple of aspect ratios for each of the best `count` scales, best first.

    Ratios are the stock ones and those at `RATIO_QUANTILES` of the boxes `[n, 4]`, scales are `SCALES`. The fewest
    unreached boxes win, then the greatest mean IoU. Above `SEARCH_SAMPLE` boxes a sample drawn by `seed` is compared.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(boxes))[:SEARCH_SAMPLE])
    sample = boxes[chosen]
    tried = _ratios_to_try(sample)
    triples = list(combinations(range(len(tried)), 3))
    best: list[tuple[float, float, Anchors]] = []
    for scale in SCALES:
        found = reach(sample, Anchors(tried, scale, input_size))
        ratios = found.shapes[:, 1] / found.shapes[:, 0]
        nearest = np.abs(np.log(ratios[:, None] / np.array(tried))).argmin(axis=1)
        by_ratio = np.stack([found.overlaps[:, nearest == number].max(axis=1) for number in range(len(tried))])
        rated = []
        for triple in triples:
            iou = by_ratio[list(triple)].max(axis=0)
            rated.append((float((iou < MATCH_IOU).mean()), -float(iou.mean()), triple))
        unreached, negative_iou, triple = min(rated)
        best.append((unreached, negative_iou, Anchors(tuple(tried[number] for number in triple), scale, input_size)))
    best.sort(key=lambda item: item[:2])
    return [measure(boxes, class_ids, anchors) for _, _, anchors in best[:count]]


def _ratios_to_try(boxes: Boxes) -> tuple[float, ...]:
    """Aspect ratios to try, at least 10 % apart."""
    sizes = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    measured = np.quantile(sizes[:, 1] / sizes[:, 0], RATIO_QUANTILES)
    wanted = [*STOCK_RATIOS, *(float(ratio) for ratio in np.clip(measured, 0.05, 20).round(2))]
    kept: list[float] = []
    for ratio in wanted:
        if all(abs(np.log(ratio / other)) > np.log(1.1) for other in kept):
            kept.append(ratio)
    return tuple(sorted(kept))


def share(values: npt.NDArray[np.bool_]) -> float | None:
    """The share of true values; None without values."""
    return float(values.mean()) if len(values) else None


def all_boxes(photos: Sequence[AnnotatedPhoto]) -> tuple[Boxes, npt.NDArray[np.int32]]:
    """The boxes `[n, 4]` and class ids `[n]` of all photos."""
    return (
        np.concatenate([np.zeros((0, 4), np.float32), *(photo.boxes for photo in photos)]),
        np.concatenate([np.zeros(0, np.int32), *(photo.class_ids for photo in photos)]),
    )
