import json
from dataclasses import replace

import numpy as np
import pytest

from training.data.annotations import AnnotationError, read_annotated_photos
from training.data.saved_photos import load_photos, photos_sha256, save_photos, saved_photos_sha256
from training.render import write_via


def test_the_digest_ignores_folder_and_order_but_not_labels(tmp_path) -> None:
    for name in ("one", "other"):
        write_via(tmp_path / name, range(2), width=120, height=90)
    first, second = (read_annotated_photos(tmp_path / name) for name in ("one", "other"))
    known = photos_sha256(first)
    assert photos_sha256(second[::-1]) == known
    save_photos(first, tmp_path / "photos.json")
    assert saved_photos_sha256(tmp_path / "photos.json") == known
    assert photos_sha256([replace(second[0], fold=second[0].fold + 1), second[1]]) != known
    assert photos_sha256(second[:1]) != known
    second[0].class_ids[0] = 3 - second[0].class_ids[0]
    assert photos_sha256(second) != known


def test_weights_are_saved_and_older_files_are_loaded(tmp_path) -> None:
    write_via(tmp_path / "data", range(1), width=120, height=90)
    (photo,) = read_annotated_photos(tmp_path / "data")
    weights = np.linspace(0, 1, len(photo.class_ids), dtype=np.float32)
    save_photos([replace(photo, weights=weights)], tmp_path / "photos.json")
    (loaded,) = load_photos(tmp_path / "photos.json")
    np.testing.assert_array_equal(loaded.weights, weights)
    assert loaded.weights is not None
    assert loaded.weights.dtype == np.float32
    (entry,) = json.loads((tmp_path / "photos.json").read_text())
    del entry["weights"], entry["source"]
    (tmp_path / "photos.json").write_text(json.dumps([entry]))
    (loaded,) = load_photos(tmp_path / "photos.json")
    assert (loaded.source, loaded.weights) == ("", None)


def test_photos_are_loaded_as_saved_and_changes_are_reported(tmp_path) -> None:
    write_via(tmp_path / "data", range(2), width=120, height=90)
    photos = read_annotated_photos(tmp_path / "data")
    save_photos(photos, tmp_path / "photos.json")
    for one, other in zip(photos, load_photos(tmp_path / "photos.json"), strict=True):
        assert one.path == other.path
        assert (one.width, one.height, one.group, one.fold) == (other.width, other.height, other.group, other.fold)
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        assert (other.boxes.dtype, other.class_ids.dtype) == (np.float32, np.int32)
        assert (other.source, other.weights) == ("data", None)
    photos[0].path.write_bytes(b"another")
    photos[1].path.unlink()
    with pytest.raises(AnnotationError, match=r"(?s)it was changed after.*it was removed after") as caught:
        load_photos(tmp_path / "photos.json")
    assert len(str(caught.value).splitlines()) == 2
