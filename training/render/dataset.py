"""Rendered photos with labels, as a data folder in the layout of `training.data.annotations`."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from training.render.mouth import render_mouth

JPEG_QUALITY = 92


def write_via(folder: Path, seeds: Iterable[int], *, width: int = 640, height: int = 480, folds: int = 5) -> list[Path]:
    """Render a mouth per seed into the folder, created if missing, from `Folder_0001.jpg` on, overwriting files of the
    same names, and return the photos' paths. `folds.csv` deals the mouths, each a group, into folds; 0 writes none."""
    photos, labels = folder / "img_train", folder / "json_train"
    photos.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for index, seed in enumerate(seeds):
        mouth = render_mouth(seed, width=width, height=height)
        path = photos / f"Folder_{index + 1:04d}.jpg"
        Image.fromarray(mouth.image).save(path, quality=JPEG_QUALITY)
        regions = [
            {
                "shape_attributes": {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0},
                "region_attributes": {"label": label},
            }
            for (y0, x0, y1, x1), label in zip(mouth.boxes.astype(int).tolist(), mouth.labels, strict=True)
        ]
        annotation = {
            "filename": path.name, "size": path.stat().st_size, "regions": regions, "file_attributes": {}
        }  # fmt: skip
        text = json.dumps({"annotation": annotation}, indent=1)
        (labels / f"{path.stem}.json").write_text(text + "\n", encoding="utf-8")
        paths.append(path)
    if folds:
        with (folder / "folds.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["image", "group", "fold"])
            table.writerows([path.name, path.stem, index % folds] for index, path in enumerate(paths))
    return paths
