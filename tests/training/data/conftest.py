import shutil
from pathlib import Path

import pytest

from training.data.annotations import AnnotatedPhoto, read_annotated_photos


@pytest.fixture(scope="module")
def photos(small_data) -> list[AnnotatedPhoto]:
    return read_annotated_photos(small_data)


@pytest.fixture
def data(photos, tmp_path) -> Path:
    """A folder with the photos in `images/` and no labels."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo.path, folder / "images")
    return folder
