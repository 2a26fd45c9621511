import numpy as np

from app import images
from app.screening import box_iou
from training.annotations import read_annotated_photos
from training.second_look.crops import cut, squares
from training.second_look.recipe import SecondLookRecipe
from training.second_look.teeth import BACKGROUND_IOU, boxes_without_tooth, canvas_side, cut_teeth, middle

RECIPE = SecondLookRecipe("small", crop_size=64)


def test_every_labelled_tooth_is_cut(small_data) -> None:
    photos = read_annotated_photos(small_data)[:3]
    teeth = cut_teeth(photos, RECIPE)
    side = canvas_side(64)
    assert teeth.canvases.shape == (sum(len(photo.boxes) for photo in photos), side, side, 3)
    assert teeth.labels.tolist() == [int(n) - 1 for photo in photos for n in photo.class_ids]
    assert teeth.photos.tolist() == [place for place, photo in enumerate(photos) for _ in photo.boxes]


def test_the_middle_of_a_canvas_is_the_crop(small_data) -> None:
    photo = read_annotated_photos(small_data)[0]
    pixels = images.decode(photo.path.read_bytes()).pixels
    crops = middle(cut_teeth([photo], RECIPE).canvases, 64)
    direct = cut(pixels, squares(photo.boxes, photo.width, photo.height, RECIPE.context), 64)
    assert np.abs(crops.astype(int) - direct).max() <= 2


def test_boxes_without_tooth_have_none(small_data) -> None:
    photo = read_annotated_photos(small_data)[0]
    found = boxes_without_tooth(photo.boxes, 10, np.random.default_rng(0))
    assert 5 < len(found) <= 10
    assert box_iou(found, photo.boxes).max() < BACKGROUND_IOU
    assert found.min() >= 0
    assert found.max() <= 1
    assert len(boxes_without_tooth(photo.boxes, 0, np.random.default_rng(0))) == 0
    assert len(boxes_without_tooth(np.zeros((0, 4), np.float32), 5, np.random.default_rng(0))) == 0
    with_empty = cut_teeth([photo], SecondLookRecipe("small", crop_size=64, background=0.5))
    assert set(with_empty.labels.tolist()) == {0, 1, 2}
