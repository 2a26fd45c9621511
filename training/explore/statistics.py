"""Numbers about annotated photos, at the input size of a detector."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from app.photo.decoding import decode
from app.photo.quality import PhotoQuality, assess_quality
from training.data.annotations import CLASS_IDS, FOLDS, AnnotatedPhoto
from training.model.anchors import (
    STOCK_RATIOS,
    STOCK_SCALE,
    STUDY_RATIOS,
    Anchors,
    Candidate,
    Reach,
    all_boxes,
    measure,
    reach,
    search,
    share,
)
from training.recipe import Recipe

PERCENTILES = (0, 5, 25, 50, 75, 95, 100)

SIZE_EDGES = (0.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, float("inf"))
"""Ranges of tooth sizes for the unreached ones: square root of the area, pixels of the model's input."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Measurements of photos and their quality, and of all boxes, `[n]`; sides are pixels of the model's input.
    `candidates` are the recipe's, the stock's and the study's anchors by name, and better ones that were found."""

    photos: list[AnnotatedPhoto]
    quality: list[PhotoQuality]
    class_ids: npt.NDArray[np.int32]
    heights: Floats
    widths: Floats
    reached: Reach
    candidates: list[tuple[str, Candidate]]

    @property
    def anchors(self) -> Anchors:
        """The recipe's."""
        return self.reached.anchors

    @property
    def aspect_ratios(self) -> Floats:
        """Width over height of each box, as for anchors."""
        return self.widths / self.heights

    @property
    def shorter_sides(self) -> Floats:
        return np.minimum(self.heights, self.widths)

    @property
    def longer_sides(self) -> Floats:
        return np.maximum(self.heights, self.widths)

    @property
    def areas(self) -> Floats:
        """Square pixels."""
        return self.heights * self.widths

    @property
    def boxes_per_photo(self) -> npt.NDArray[np.int64]:
        """`[photos]`."""
        return np.array([len(photo.class_ids) for photo in self.photos], np.int64)

    @property
    def shows_caries(self) -> npt.NDArray[np.bool_]:
        """Whether a tooth is labelled carious, `[photos]`."""
        return np.array([_shows_caries(photo) for photo in self.photos], bool)

    @property
    def look_alikes(self) -> list[list[AnnotatedPhoto]]:
        """Groups of more than one photo, the largest first."""
        groups: dict[str, list[AnnotatedPhoto]] = {}
        for photo in self.photos:
            groups.setdefault(photo.group, []).append(photo)
        return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)

    @cached_property
    def best_for(self) -> npt.NDArray[np.int64]:
        """Number of boxes for which each anchor shape of the recipe is the best, `[shapes]`."""
        return np.bincount(self.reached.best_shape, minlength=len(self.reached.shapes))

    @cached_property
    def unreached_by_size(self) -> list[dict[str, Any]]:
        """Boxes in each non-empty range of `SIZE_EDGES`, and those that no anchor reaches, also by class."""
        sizes = np.sqrt(self.areas)
        ranges = []
        for low, high in pairwise(SIZE_EDGES):
            inside = (sizes >= low) & (sizes < high)
            if not inside.any():
                continue
            entry = {"from": low, "to": None if np.isinf(high) else high, **self._unreached(inside)}
            for name, class_id in CLASS_IDS.items():
                entry[name] = self._unreached(inside & (self.class_ids == class_id))
            ranges.append(entry)
        return ranges

    def _unreached(self, chosen: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return {"boxes": int(chosen.sum()), "unreached": int((chosen & self.reached.unreached).sum())}

    @cached_property
    def folds(self) -> list[dict[str, Any]]:
        """Photos, groups and boxes of each fold."""
        folds = []
        for fold in range(FOLDS):
            photos = [photo for photo in self.photos if photo.fold == fold]
            folds.append(
                {
                    "photos": len(photos),
                    "groups": len({photo.group for photo in photos}),
                    "photos_with_caries": sum(map(_shows_caries, photos)),
                    "boxes": _boxes_by_class(all_boxes(photos)[1]),
                }
            )
        return folds

    def as_dict(self) -> dict[str, Any]:
        """Every number of the report, ready for JSON; shares are 0 to 1."""
        unreached = self.reached.unreached
        of_class = {name: self.class_ids == class_id for name, class_id in CLASS_IDS.items()}
        sizes = np.array([[photo.width, photo.height] for photo in self.photos])
        measures = {
            "box_shorter_side": self.shorter_sides,
            "box_longer_side": self.longer_sides,
            "box_area": self.areas,
            "box_aspect_ratio": self.aspect_ratios,
        }
        per_photo = Counter(self.boxes_per_photo.tolist())
        return {
            "photos": len(self.photos),
            "photos_with_caries": int(self.shows_caries.sum()),
            "photos_without_caries": int((~self.shows_caries).sum()),
            "photos_without_boxes": int((self.boxes_per_photo == 0).sum()),
            "boxes": _boxes_by_class(self.class_ids),
            "boxes_per_photo": percentiles(self.boxes_per_photo),
            "photos_by_boxes": {str(count): per_photo[count] for count in sorted(per_photo)},
            "folds": self.folds,
            "photos_in_folds": [fold["photos"] for fold in self.folds],
            "groups": len({photo.group for photo in self.photos}),
            "look_alike_groups": {group[0].group: len(group) for group in self.look_alikes},
            "photo_longer_side": percentiles(sizes.max(axis=1)),
            "photo_shorter_side": percentiles(sizes.min(axis=1)),
            "input_size": self.anchors.input_size,
            **{name: percentiles(values) for name, values in measures.items()},
            "by_class": {
                class_name: {name: percentiles(values[chosen]) for name, values in measures.items()}
                for class_name, chosen in of_class.items()
            },
            "unreached": share(unreached),
            "unreached_by_class": {name: share(unreached[chosen]) for name, chosen in of_class.items()},
            "unreached_by_size": self.unreached_by_size,
            "best_iou": percentiles(self.reached.iou),
            "anchor_shapes": [
                {"height": round(float(height), 2), "width": round(float(width), 2), "best_for": int(count)}
                for (height, width), count in zip(self.reached.shapes, self.best_for, strict=True)
            ],
            "anchors": [
                {
                    "name": name,
                    "aspect_ratios": list(item.anchors.aspect_ratios),
                    "anchor_scale": item.anchors.scale,
                    "unreached": item.unreached,
                    "unreached_caries": item.unreached_caries,
                    "mean_iou": item.mean_iou,
                }
                for name, item in self.candidates
            ],
            "luminance": percentiles(np.array([item.luminance for item in self.quality])),
            "sharpness": percentiles(np.array([item.sharpness for item in self.quality])),
            "each_photo": [
                {
                    "name": photo.path.name,
                    "width": photo.width,
                    "height": photo.height,
                    "group": photo.group,
                    "fold": photo.fold,
                    "boxes": _boxes_by_class(photo.class_ids),
                    "luminance": round(quality.luminance, 2),
                    "sharpness": round(quality.sharpness, 4),
                    "tissue": round(quality.tissue, 4),
                    "refused_as": [str(reason) for reason in quality.reasons],
                }
                for photo, quality in zip(self.photos, self.quality, strict=True)
            ],
        }


def examine(photos: Sequence[AnnotatedPhoto], recipe: Recipe, *, seed: int = 0) -> Statistics:
    """Measure the photos at the recipe's input size and with its anchors; the seed draws the boxes that anchors are
    searched on, if there are many."""
    boxes, class_ids = all_boxes(photos)
    size = recipe.input_size
    anchors = Anchors(recipe.aspect_ratios, recipe.anchor_scale, size)
    compared = {
        "recipe": anchors,
        "stock": Anchors(STOCK_RATIOS, STOCK_SCALE, size),
        "study": Anchors(STUDY_RATIOS, STOCK_SCALE, size),
    }
    candidates = [(name, measure(boxes, class_ids, item)) for name, item in compared.items()]
    if len(boxes):
        candidates += [("found", candidate) for candidate in search(boxes, class_ids, size, seed=seed)]
    return Statistics(
        photos=list(photos),
        quality=[
            assess_quality(decode(photo.path.read_bytes()).pixels)
            for photo in tqdm(photos, desc="brightness and sharpness", unit="photo", leave=False)
        ],
        class_ids=class_ids,
        heights=((boxes[:, 2] - boxes[:, 0]) * size).astype(np.float64),
        widths=((boxes[:, 3] - boxes[:, 1]) * size).astype(np.float64),
        reached=reach(boxes, anchors),
        candidates=candidates,
    )


def percentiles(values: npt.NDArray[Any]) -> dict[str, float]:
    """`PERCENTILES` of some values by name, such as `p50`; empty for none."""
    if not len(values):
        return {}
    named = zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)
    return {f"p{number}": round(float(value), 3) for number, value in named}


def _shows_caries(photo: AnnotatedPhoto) -> bool:
    return bool((photo.class_ids == CLASS_IDS["caries"]).any())


def _boxes_by_class(class_ids: npt.NDArray[np.int32]) -> dict[str, int]:
    return {name: int((class_ids == class_id).sum()) for name, class_id in CLASS_IDS.items()}
