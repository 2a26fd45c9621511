"""The crops of labelled teeth that the second look is trained and judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app import images
from app.detections import FloatArray
from app.screening import box_iou
from training.annotations import CLASS_IDS, AnnotatedPhoto
from training.second_look.crops import Pixels, cut, squares
from training.second_look.recipe import SecondLookRecipe

CANVAS = 1.6
"""Side of what is kept around a crop, as a multiple of the crop's, so that shifted, turned and zoomed crops have pixels
to take."""

BACKGROUND_IOU = 0.3
"""A box that overlaps no labelled tooth by this much shows no tooth."""

CLASSES = (*CLASS_IDS, "no tooth")
"""What the classifier tells apart; the last one only where the recipe asks for it."""


@dataclass(frozen=True, slots=True)
class Teeth:
    """Crops of boxes on photos.

    Attributes:
        canvases: uint8 `[n, side, side, 3]`, each crop with what surrounds it, see `canvas_side`.
        labels: int64 `[n]`, positions in `CLASSES`.
        photos: int64 `[n]`, position of the photo that the box is on.
    """

    canvases: Pixels
    labels: npt.NDArray[np.int64]
    photos: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def canvas_side(crop_size: int) -> int:
    """Pixels of a canvas; even more than the crop's, so that the crop is exactly its middle."""
    margin = round(crop_size * (CANVAS - 1) / 2)
    return crop_size + 2 * margin


def middle(canvases: Pixels, crop_size: int) -> Pixels:
    """The crops in the middle of canvases, as they are judged; uint8 `[n, crop_size, crop_size, 3]`."""
    margin = (canvases.shape[1] - crop_size) // 2
    return canvases[:, margin : margin + crop_size, margin : margin + crop_size]


def cut_canvases(photo: AnnotatedPhoto, boxes: FloatArray, recipe: SecondLookRecipe) -> Pixels:
    """The canvases of boxes `[n, 4]` on a photo, see `Teeth`."""
    side = canvas_side(recipe.crop_size)
    around = squares(boxes, photo.width, photo.height, recipe.context * side / recipe.crop_size)
    return cut(images.decode(photo.path.read_bytes()).pixels, around, side)


def cut_teeth(photos: Sequence[AnnotatedPhoto], recipe: SecondLookRecipe) -> Teeth:
    """Every labelled tooth of the photos, in order; after those of each photo, its boxes without a tooth."""
    random = np.random.default_rng(recipe.seed)
    names = {class_id: CLASSES.index(name) for name, class_id in CLASS_IDS.items()}
    side = canvas_side(recipe.crop_size)
    canvases, labels, places = [np.zeros((0, side, side, 3), np.uint8)], [], []
    for place, photo in enumerate(photos):
        empty = boxes_without_tooth(photo.boxes, round(recipe.background * len(photo.boxes)), random)
        boxes = np.concatenate([photo.boxes, empty])
        canvases.append(cut_canvases(photo, boxes, recipe))
        labels += [names[int(class_id)] for class_id in photo.class_ids] + [len(CLASS_IDS)] * len(empty)
        places += [place] * len(boxes)
    return Teeth(np.concatenate(canvases), np.array(labels, np.int64), np.array(places, np.int64))


def boxes_without_tooth(teeth: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    """Boxes such as a detector may draw where no tooth is: teeth displaced and rescaled, float32 `[at most count, 4]`.

    Args:
        teeth: all labelled boxes of a photo, `[n, 4]`.
        count: how many are wanted; fewer come back where the photo has little room.
        random: decides.
    """
    if not len(teeth) or not count:
        return np.zeros((0, 4), np.float32)
    chosen = teeth[random.integers(0, len(teeth), 8 * count)].astype(np.float64)
    sizes = (chosen[:, 2:] - chosen[:, :2]) * random.uniform(0.6, 1.5, (len(chosen), 2))
    angles = random.uniform(0, 2 * np.pi, len(chosen))
    far = random.uniform(0.5, 1.5, len(chosen))[:, None] * np.column_stack([np.sin(angles), np.cos(angles)])
    centres = (chosen[:, :2] + chosen[:, 2:]) / 2 + far * (chosen[:, 2:] - chosen[:, :2])
    boxes = np.clip(np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1), 0, 1).astype(np.float32)
    is_whole = ((boxes[:, 2:] - boxes[:, :2]) > 0.5 * sizes).all(axis=1)
    is_free = box_iou(boxes, teeth).max(axis=1) < BACKGROUND_IOU
    kept: FloatArray = boxes[is_whole & is_free][:count]
    return kept
