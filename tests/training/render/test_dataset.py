import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.training.render.small_mouths import HEIGHT, WIDTH, small
from training.render import write_via


def test_written_files_match_the_rendered_mouths(tmp_path: Path) -> None:
    paths = write_via(tmp_path, range(20, 22), width=WIDTH, height=HEIGHT)
    assert [path.name for path in paths] == ["Folder_0001.jpg", "Folder_0002.jpg"]
    for seed, path in zip(range(20, 22), paths, strict=True):
        mouth = small(seed)
        annotation = json.loads((tmp_path / "json_train" / f"{path.stem}.json").read_text())["annotation"]
        assert annotation["filename"] == path.name
        assert annotation["size"] == path.stat().st_size
        with Image.open(path) as photo:
            assert photo.size == (WIDTH, HEIGHT)
            assert abs(np.asarray(photo).astype(int) - mouth.image).mean() < 6
        boxes = []
        for region in annotation["regions"]:
            shape = region["shape_attributes"]
            assert shape["name"] == "rect"
            boxes.append([shape["y"], shape["x"], shape["y"] + shape["height"], shape["x"] + shape["width"]])
        assert np.array_equal(np.array(boxes, np.float32), mouth.boxes)
        assert tuple(region["region_attributes"]["label"] for region in annotation["regions"]) == mouth.labels
