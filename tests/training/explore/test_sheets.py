import numpy as np
import pytest
from PIL import Image

from training.data.annotations import CLASS_IDS, AnnotatedPhoto, read_annotated_photos
from training.explore.sheets import (
    GAP,
    SHEET_WIDTH,
    TITLE_HEIGHT,
    TOOTH_HEIGHT,
    contact_sheet,
    labelled_photo,
    random_photos,
    tooth_crops,
    tooth_in_place,
)


@pytest.fixture(scope="module")
def photos(labelled) -> list[AnnotatedPhoto]:
    return read_annotated_photos(labelled)


def test_another_seed_gives_other_samples(photos) -> None:
    first, again, other = (tooth_crops(photos, "normal", 8, seed=seed) for seed in (0, 0, 1))
    sheets = [contact_sheet(teeth, columns=4).tobytes() for teeth in (first, again, other)]
    assert sheets[0] == sheets[1] != sheets[2]
    assert {tooth.height for tooth in first} == {TOOTH_HEIGHT}


def test_a_row_of_a_sheet_is_as_high_as_its_highest_picture() -> None:
    pictures = [Image.new("RGB", size, "red") for size in ((1196, 598), (598, 598), (598, 299))]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.size == (SHEET_WIDTH, 450 + 298 + 2 * GAP)
    assert contact_sheet(pictures, columns=2, titles=["a", "b", "c"]).height == sheet.height + 2 * TITLE_HEIGHT
    assert sheet.getpixel((SHEET_WIDTH - 1, sheet.height - 1)) == (255, 255, 255), "the last cell is empty"


def test_random_photos_have_caries_or_not_and_keep_their_order(photos) -> None:
    for with_caries in (True, False):
        fitting = [one for one in photos if bool((one.class_ids == CLASS_IDS["caries"]).any()) == with_caries]
        chosen = random_photos(photos, with_caries=with_caries, count=2)
        assert len(chosen) == min(2, len(fitting))
        places = [fitting.index(one) for one in chosen]
        assert places == sorted(places)


def test_boxes_are_drawn_on_the_fitted_photo(photos) -> None:
    plain, numbered = (labelled_photo(photos[0], max_side=120, numbered=numbered) for numbered in (False, True))
    assert plain.size == numbered.size == (120, 90)
    assert plain.tobytes() != numbered.tobytes()
    framed = tooth_in_place(photos[0], 0)
    assert framed.height == TOOTH_HEIGHT
    assert np.asarray(framed).std() > 5
