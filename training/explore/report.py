"""The report: a self-contained HTML page, its figures as PNG files, and its numbers as JSON."""

import io
import json
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path

from PIL import Image

from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.explore import words
from training.explore.page import Block, Picture, Section, render_page
from training.explore.plots import plot_all
from training.explore.sheets import contact_sheet, labelled_photo, random_photos, tooth_crops
from training.explore.statistics import Statistics, examine
from training.output import write_file
from training.recipe import Recipe

EXTREMES = 6
"""Photos in each row of the darkest, brightest and least sharp."""

STRIPS, STRIP_LENGTH = 8, 6
"""Groups of look-alikes that are shown, and photos of each."""

SHEET_PHOTOS, SHEET_TEETH = 12, 48


def write_report(
    photos: Sequence[AnnotatedPhoto], recipe: Recipe, out: Path, *, title: str, seed: int = 0
) -> Statistics:
    """Write `report.html`, its figures as PNG and `explore.json` to the folder `out`, in place of an earlier report.
    The labels are compared with the recipe's input size and anchors; the seed draws the samples."""
    statistics = examine(photos, recipe, seed=seed)
    plots = plot_all(statistics)
    sheets = {name: _png(sheet) for name, sheet in _sheets(statistics, seed).items()}
    page = render_page(
        f"Annotated photos: {title}",
        "The data of a detector, before any training. This page contains the photos themselves: share it only where "
        "they may be shared.",
        words.key_facts(statistics),
        _sections(statistics, recipe, plots, sheets),
    )
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("look_alikes_*.png"):
        old.unlink()
    for name, png in {**plots, **sheets}.items():
        write_file(out / f"{name}.png", png)
    write_file(out / "explore.json", json.dumps({**statistics.as_dict(), "seed": seed}, indent=1) + "\n")
    write_file(out / "report.html", page)
    return statistics


def _sheets(statistics: Statistics, seed: int) -> dict[str, Image.Image]:
    """Contact sheets by name, without empty ones."""
    photos = statistics.photos
    sheets = {}
    for name, with_caries in (("photos_with_caries", True), ("photos_without_caries", False)):
        if chosen := random_photos(photos, with_caries=with_caries, count=SHEET_PHOTOS, seed=seed):
            sheets[name] = _photo_sheet(chosen, columns=3)
    for class_name in CLASS_IDS:
        if crops := tooth_crops(photos, class_name, SHEET_TEETH, seed=seed):
            sheets[f"teeth_{class_name}"] = contact_sheet(crops, columns=12, max_height=1.3)
    for number, group in enumerate(statistics.look_alikes[:STRIPS], start=1):
        sheets[f"look_alikes_{number}"] = _photo_sheet(group[:STRIP_LENGTH], columns=STRIP_LENGTH)
    for name, ordered in words.extremes(statistics).items():
        values = [f": {value}" for _, value in ordered[:EXTREMES]]
        sheets[name] = _photo_sheet([photo for photo, _ in ordered[:EXTREMES]], columns=EXTREMES, values=values)
    return sheets


def _photo_sheet(photos: Sequence[AnnotatedPhoto], *, columns: int, values: Iterable[str] = repeat("")) -> Image.Image:
    titles = [f"{photo.path.stem}{value}" for photo, value in zip(photos, values, strict=False)]
    return contact_sheet([labelled_photo(photo, max_side=400) for photo in photos], columns=columns, titles=titles)


def _sections(
    statistics: Statistics, recipe: Recipe, plots: dict[str, bytes], sheets: dict[str, bytes]
) -> list[Section]:
    captions = words.captions(statistics)

    def plot(*names: str) -> list[Picture]:
        return [Picture(plots[name], name.replace("_", " "), captions[name]) for name in names]

    def sheet(*names: str) -> list[Picture]:
        shown = [name for name in names if name in sheets]
        return [Picture(sheets[name], name.replace("_", " "), captions[name], photographic=True) for name in shown]

    photos: list[Block] = [
        words.photos_in_words(statistics),
        words.fold_table(statistics),
        plot("boxes_per_photo", "photo_sizes"),
    ]
    sections = [Section("Photos", photos)]
    if len(statistics.class_ids):
        sizes = plot("box_sizes", "aspect_ratios", "box_shorter_sides", "box_longer_sides", "box_areas")
        anchors: list[Block] = [
            words.reach_in_words(statistics, recipe),
            plot("anchor_reach", "unreached_by_size", "best_anchors"),
            words.SEARCH,
            words.anchor_table(statistics),
            words.chance_in_words(statistics),
        ]
        sections += [
            Section("Sizes of the teeth", [words.sizes_in_words(statistics), sizes]),
            Section("Anchors", anchors),
        ]
    samples = sheet("photos_with_caries", "photos_without_caries", "teeth_caries", "teeth_normal")
    strips = sheet(*(f"look_alikes_{number}" for number in range(1, STRIPS + 1)))
    quality: list[Block] = [
        words.quality_in_words(statistics),
        plot("brightness", "sharpness"),
        words.extremes_table(statistics),
        *sheet("darkest", "brightest", "least_sharp"),
    ]
    return [
        *sections,
        Section("Samples", samples),
        Section("Look-alikes", [words.look_alikes_in_words(statistics, STRIPS), *strips]),
        Section("Brightness and sharpness", quality),
    ]


def _png(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()
