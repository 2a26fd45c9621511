"""The figures of the report: distributions as plots, photos as contact sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from app import images
from training.annotations import CLASS_IDS, AnnotatedPhoto
from training.explore.statistics import Statistics
from training.validation import CLASS_COLOURS

DOTS_PER_INCH = 110
SHEET_WIDTH = 1200
SEED = 0


def write_plots(statistics: Statistics, out: Path) -> dict[str, Path]:
    """Writes the plots of distributions as PNG and returns them by name."""
    plots: dict[str, Callable[[Any, Statistics], None]] = {
        "boxes_per_photo": _boxes_per_photo,
        "box_sizes": _box_sizes,
        "aspect_ratios": _aspect_ratios,
        "anchor_reach": _anchor_reach,
        "brightness": _brightness,
        "sharpness": _sharpness,
    }
    written = {}
    for name, draw in plots.items():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.4, 3.6), dpi=DOTS_PER_INCH, layout="constrained")
        draw(figure.add_subplot(), statistics)
        written[name] = out / f"{name}.png"
        figure.savefig(written[name], metadata={"Software": None})
    return written


def contact_sheet(
    pictures: Sequence[Image.Image], *, columns: int, width: int = SHEET_WIDTH, shape: float = 0.75
) -> Image.Image:
    """Pictures side by side on white, each fitted into a cell of `shape` times its width in height."""
    cell = width // columns
    height = int(cell * shape)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (cell * columns, max(1, rows) * height), "white")
    for number, picture in enumerate(pictures):
        fitted = picture.copy()
        fitted.thumbnail((cell - 4, height - 4))
        left = number % columns * cell + (cell - fitted.width) // 2
        sheet.paste(fitted, (left, number // columns * height + (height - fitted.height) // 2))
    return sheet


def labelled_photo(photo: AnnotatedPhoto, *, longest_side: int = 800) -> Image.Image:
    """The photo with its boxes: normal teeth green, carious ones red."""
    picture = Image.fromarray(images.decode(photo.path.read_bytes()).pixels)
    picture.thumbnail((longest_side, longest_side))
    draw = ImageDraw.Draw(picture)
    for (ymin, xmin, ymax, xmax), class_id in zip(photo.boxes, photo.class_ids, strict=True):
        scale = (picture.width - 1, picture.height - 1) * 2
        corners = [float(edge) * side for edge, side in zip((xmin, ymin, xmax, ymax), scale, strict=True)]
        draw.rectangle(corners, outline=CLASS_COLOURS[int(class_id)], width=max(2, picture.width // 250))
    return picture


def tooth_crops(photos: Sequence[AnnotatedPhoto], class_name: str, count: int) -> list[Image.Image]:
    """Teeth of one class, drawn at random, a quarter of their size of surroundings with them."""
    places = [(photo, row) for photo in photos for row in np.flatnonzero(photo.class_ids == CLASS_IDS[class_name])]
    chosen = np.random.default_rng(SEED).permutation(len(places))[:count]
    crops = []
    for position in chosen:
        photo, row = places[int(position)]
        picture = Image.fromarray(images.decode(photo.path.read_bytes()).pixels)
        ymin, xmin, ymax, xmax = photo.boxes[row] * np.array([photo.height, photo.width] * 2)
        margin_y, margin_x = (ymax - ymin) / 4, (xmax - xmin) / 4
        corners = (xmin - margin_x, ymin - margin_y, xmax + margin_x, ymax + margin_y)
        crop = picture.crop(tuple(round(float(value)) for value in corners))  # type: ignore[arg-type]
        crops.append(crop.resize((max(1, round(140 * crop.width / crop.height)), 140)))
    return crops


def random_photos(photos: Sequence[AnnotatedPhoto], class_name: str | None, count: int) -> list[AnnotatedPhoto]:
    """Photos that show a tooth of the class, or none of caries for None, drawn at random."""
    wanted = CLASS_IDS["caries" if class_name is None else class_name]
    fitting = [photo for photo in photos if bool((photo.class_ids == wanted).any()) == (class_name is not None)]
    chosen = np.random.default_rng(SEED).permutation(len(fitting))[:count]
    return [fitting[int(position)] for position in sorted(chosen)]


def _boxes_per_photo(axes: Any, statistics: Statistics) -> None:
    counts = statistics.boxes_per_photo
    axes.hist(counts, bins=np.arange(counts.max(initial=0) + 2) - 0.5, color="tab:blue")
    axes.set(xlabel="labelled teeth", ylabel="photos", title="Teeth in a photo")


def _box_sizes(axes: Any, statistics: Statistics) -> None:
    for name, class_id in CLASS_IDS.items():
        chosen = statistics.class_ids == class_id
        axes.plot(statistics.widths[chosen], statistics.heights[chosen], ".", alpha=0.35, label=name, markersize=3)
    shapes = statistics.anchors.shapes()
    axes.plot(shapes[:, 1], shapes[:, 0], "k+", markersize=9, label="anchors")
    axes.set(xscale="log", yscale="log", xlabel="width, pixels", ylabel="height, pixels")
    axes.set_title(f"Teeth and anchors at {statistics.anchors.input_size} pixels")
    axes.legend()


def _aspect_ratios(axes: Any, statistics: Statistics) -> None:
    bins = np.geomspace(0.1, 4, 50)
    for name, class_id in CLASS_IDS.items():
        axes.hist(statistics.aspect_ratios[statistics.class_ids == class_id], bins=bins, alpha=0.6, label=name)
    for ratio in statistics.anchors.aspect_ratios:
        axes.axvline(ratio, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="width over height, lines: anchors", ylabel="teeth", title="Aspect ratios")
    axes.legend()


def _anchor_reach(axes: Any, statistics: Statistics) -> None:
    axes.hist(statistics.reached.iou, bins=np.linspace(0, 1, 41), color="tab:blue")
    axes.axvline(0.5, color="black", linewidth=1)
    axes.set(
        xlabel="IoU with the best anchor, line: matched from here on", ylabel="teeth", title="Reach of the anchors"
    )


def _brightness(axes: Any, statistics: Statistics) -> None:
    axes.hist([item.luminance for item in statistics.quality], bins=np.linspace(0, 255, 40), color="tab:orange")
    axes.set(xlabel="mean luminance, 0 to 255", ylabel="photos", title="Brightness")


def _sharpness(axes: Any, statistics: Statistics) -> None:
    axes.hist([item.sharpness for item in statistics.quality], bins=40, color="tab:green")
    axes.set(xlabel="Laplacian over luminance, standard deviations", ylabel="photos", title="Sharpness")
