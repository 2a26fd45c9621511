"""Anchors and the teeth they have to reach: at which aspect ratios and scale no tooth is out of every anchor's reach.

The Object Detection API calls an anchor a match from IoU 0.5 on (`matched_threshold`). A tooth that no anchor reaches
so is still forced onto its best one, but is learnt from one anchor alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from training.annotations import AnnotatedPhoto

MATCH_IOU = 0.5
"""From this overlap on an anchor is trained to be the tooth; the stock configuration's `matched_threshold`."""

LEVELS = (3, 7)
SCALES_PER_OCTAVE = 2
"""Of the stock configurations: levels of the feature pyramid, and sizes on each."""

SCALES = (2.0, 2.5, 3.0, 3.5, 4.0)
TALLER = (0.3, 0.35, 0.4, 0.5, 0.6)
WIDER = (1.0, 1.4, 2.0)
"""What is tried to find better anchors; ratios are width over height."""

SAMPLE = 400
"""Boxes that all candidates are compared on."""

STUDY_RATIOS = (1.0, 2.85, 0.35)
"""Where the study that the project follows ended."""

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Anchors:
    """Shapes of SSD anchors.

    Attributes:
        aspect_ratios: width over height.
        scale: the smallest anchor is `8 * scale` pixels.
        input_size: pixels.
    """

    aspect_ratios: tuple[float, ...]
    scale: float
    input_size: int

    def boxes(self) -> Boxes:
        """Every anchor of the grid as the API generates it, `[n, 4]`, fractions of the input."""
        import training.compat  # noqa: F401  isort: skip
        from object_detection.anchor_generators import multiscale_grid_anchor_generator

        generator: Any = multiscale_grid_anchor_generator.MultiscaleGridAnchorGenerator(
            LEVELS[0],
            LEVELS[1],
            self.scale,
            [float(ratio) for ratio in self.aspect_ratios],
            SCALES_PER_OCTAVE,
            normalize_coordinates=True,
        )
        shapes = [(-(-self.input_size // 2**level),) * 2 for level in range(LEVELS[0], LEVELS[1] + 1)]
        lists = generator.generate(shapes, im_height=self.input_size, im_width=self.input_size)
        return np.concatenate([item.get().numpy() for item in lists]).astype(np.float32)

    def shapes(self) -> npt.NDArray[np.float64]:
        """Height and width in pixels of each anchor at one place, `[n, 2]`, from the smallest up."""
        sizes = [
            self.scale * 2**level * 2 ** (octave / SCALES_PER_OCTAVE)
            for level in range(LEVELS[0], LEVELS[1] + 1)
            for octave in range(SCALES_PER_OCTAVE)
        ]
        return np.array([[size / ratio**0.5, size * ratio**0.5] for size in sizes for ratio in self.aspect_ratios])


@dataclass(frozen=True, slots=True)
class Reach:
    """How well anchors reach boxes, `[n]` each: the IoU of each box's best anchor, and that anchor's position."""

    iou: npt.NDArray[np.float32]
    anchor: npt.NDArray[np.int64]

    @property
    def unreached(self) -> npt.NDArray[np.bool_]:
        """Boxes that no anchor reaches at `MATCH_IOU`."""
        return self.iou < MATCH_IOU


def reach(boxes: Boxes, anchors: Boxes) -> Reach:
    """The best anchor of each box, over the whole grid.

    Args:
        boxes: `[n, 4]`, fractions of the photo, which is squeezed to the input.
        anchors: `[m, 4]`, likewise.
    """
    areas = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
    best = np.zeros(len(boxes), np.float32)
    which = np.zeros(len(boxes), np.int64)
    for row, (ymin, xmin, ymax, xmax) in enumerate(boxes):
        height = np.minimum(ymax, anchors[:, 2]) - np.maximum(ymin, anchors[:, 0])
        width = np.minimum(xmax, anchors[:, 3]) - np.maximum(xmin, anchors[:, 1])
        common = np.maximum(height, 0) * np.maximum(width, 0)
        overlap = common / (areas + (ymax - ymin) * (xmax - xmin) - common)
        which[row] = int(overlap.argmax())
        best[row] = overlap[which[row]]
    return Reach(best, which)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Anchors that were tried, and the share of boxes that none of them reaches."""

    anchors: Anchors
    unreached: float


def search(boxes: Boxes, input_size: int, *, seed: int = 0) -> list[Candidate]:
    """Three aspect ratios and a scale that leave few boxes unreached, the best first.

    All of them are compared on a sample of the boxes, and the best eight counted on all.
    """
    chosen = np.random.default_rng(seed).permutation(len(boxes))[:SAMPLE]
    tried = [
        Anchors((wider, taller, tallest), scale, input_size)
        for scale in SCALES
        for tallest, taller in combinations(TALLER, 2)
        for wider in WIDER
    ]
    rough = sorted(tried, key=lambda anchors: measure(boxes[chosen], anchors).unreached)
    counted = [measure(boxes, anchors) for anchors in rough[:8]]
    return sorted(counted, key=lambda candidate: candidate.unreached)


def measure(boxes: Boxes, anchors: Anchors) -> Candidate:
    """The share of boxes that the whole grid of these anchors leaves unreached; 0 without boxes."""
    unreached = reach(boxes, anchors.boxes()).unreached
    return Candidate(anchors, float(unreached.mean()) if len(unreached) else 0.0)


def all_boxes(photos: Sequence[AnnotatedPhoto]) -> tuple[Boxes, npt.NDArray[np.int32]]:
    """The boxes and class ids of all photos."""
    return (
        np.concatenate([np.zeros((0, 4), np.float32), *(photo.boxes for photo in photos)]),
        np.concatenate([np.zeros(0, np.int32), *(photo.class_ids for photo in photos)]),
    )
