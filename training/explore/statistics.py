"""Numbers about annotated photos, as a detector will see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app import images
from app.screening import PhotoQuality, assess_quality
from training.anchors import STUDY_RATIOS, Anchors, Candidate, Reach, all_boxes, measure, reach, search
from training.annotations import CLASS_IDS, FOLDS, AnnotatedPhoto
from training.recipe import Recipe

STOCK_RATIOS, STOCK_SCALE = (1.0, 2.0, 0.5), 4.0

PERCENTILES = (5, 25, 50, 75, 95)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was counted and measured.

    Attributes:
        photos: all of them.
        quality: of each photo.
        class_ids: of each box, int32 `[n]`.
        heights, widths: of each box in pixels of the model's input, `[n]`.
        anchors: the recipe's.
        reached: how well they reach each box.
        candidates: the recipe's, the stock's and the study's anchors by name, and better ones that were found.
    """

    photos: list[AnnotatedPhoto]
    quality: list[PhotoQuality]
    class_ids: npt.NDArray[np.int32]
    heights: Floats
    widths: Floats
    anchors: Anchors
    reached: Reach
    candidates: list[tuple[str, Candidate]]

    @property
    def aspect_ratios(self) -> Floats:
        """Width over height of each box at the model's input, as anchors count it."""
        return self.widths / self.heights

    @property
    def boxes_per_photo(self) -> npt.NDArray[np.int64]:
        """`[photos]`."""
        return np.array([len(photo.class_ids) for photo in self.photos], np.int64)

    @property
    def look_alikes(self) -> list[list[AnnotatedPhoto]]:
        """Groups of more than one photo, the largest first."""
        groups: dict[str, list[AnnotatedPhoto]] = {}
        for photo in self.photos:
            groups.setdefault(photo.group, []).append(photo)
        return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)

    def as_dict(self) -> dict[str, Any]:
        """Every number of the report, ready for JSON."""
        carious = [bool((photo.class_ids == CLASS_IDS["caries"]).any()) for photo in self.photos]
        unreached = self.reached.unreached
        sizes = np.array([[photo.width, photo.height] for photo in self.photos])
        return {
            "photos": len(self.photos),
            "photos_with_caries": sum(carious),
            "photos_without_boxes": int((self.boxes_per_photo == 0).sum()),
            "boxes": {name: int((self.class_ids == class_id).sum()) for name, class_id in CLASS_IDS.items()},
            "boxes_per_photo": percentiles(self.boxes_per_photo),
            "photos_in_folds": [Counter(photo.fold for photo in self.photos)[fold] for fold in range(FOLDS)],
            "groups": len({photo.group for photo in self.photos}),
            "look_alike_groups": [len(group) for group in self.look_alikes],
            "photo_longer_side": percentiles(sizes.max(axis=1)),
            "input_size": self.anchors.input_size,
            "box_shorter_side": percentiles(np.minimum(self.heights, self.widths)),
            "box_longer_side": percentiles(np.maximum(self.heights, self.widths)),
            "box_aspect_ratio": percentiles(self.aspect_ratios),
            "unreached": share(unreached),
            "unreached_by_class": {
                name: share(unreached[self.class_ids == class_id]) for name, class_id in CLASS_IDS.items()
            },
            "anchors": [
                {
                    "name": name,
                    "aspect_ratios": list(item.anchors.aspect_ratios),
                    "anchor_scale": item.anchors.scale,
                    "unreached": item.unreached,
                }
                for name, item in self.candidates
            ],
            "luminance": percentiles(np.array([item.luminance for item in self.quality])),
            "sharpness": percentiles(np.array([item.sharpness for item in self.quality])),
        }


def examine(photos: Sequence[AnnotatedPhoto], recipe: Recipe) -> Statistics:
    """Measures the photos at the recipe's input size and with its anchors."""
    boxes, class_ids = all_boxes(photos)
    anchors = Anchors(recipe.aspect_ratios, recipe.anchor_scale, recipe.input_size)
    candidates = [
        ("recipe", measure(boxes, anchors)),
        ("stock", measure(boxes, Anchors(STOCK_RATIOS, STOCK_SCALE, recipe.input_size))),
        ("study", measure(boxes, Anchors(STUDY_RATIOS, STOCK_SCALE, recipe.input_size))),
    ]
    if len(boxes):
        candidates += [("found", candidate) for candidate in search(boxes, recipe.input_size)[:3]]
    return Statistics(
        photos=list(photos),
        quality=[assess_quality(images.decode(photo.path.read_bytes()).pixels) for photo in photos],
        class_ids=class_ids,
        heights=((boxes[:, 2] - boxes[:, 0]) * recipe.input_size).astype(np.float64),
        widths=((boxes[:, 3] - boxes[:, 1]) * recipe.input_size).astype(np.float64),
        anchors=anchors,
        reached=reach(boxes, anchors.boxes()),
        candidates=candidates,
    )


def percentiles(values: npt.NDArray[Any]) -> dict[str, float]:
    """`PERCENTILES` of some values by name, empty for none."""
    if not len(values):
        return {}
    return {
        f"p{number}": round(float(value), 3)
        for number, value in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)
    }


def share(values: npt.NDArray[np.bool_]) -> float:
    """The share that is true; 0 of none."""
    return float(values.mean()) if len(values) else 0.0
