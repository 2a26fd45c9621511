"""The report: one HTML file that needs nothing else, its figures as PNG beside it, and its numbers as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.explore import words
from training.explore.page import Picture, Plots, Section, render_page
from training.explore.plots import plot_all
from training.explore.sheets import contact_sheet, labelled_photo, random_photos, tooth_crops
from training.explore.statistics import Statistics, examine
from training.recipe import Recipe

EXTREMES = 6
"""Photos in each row of the darkest, brightest and least sharp."""

STRIPS, STRIP_LENGTH = 8, 6
"""Groups of look-alikes that are shown, and photos of each."""

SHEET_PHOTOS, SHEET_TEETH = 12, 48


def write_report(
    photos: Sequence[AnnotatedPhoto], recipe: Recipe, out: Path, *, title: str, seed: int = 0
) -> Statistics:
    """Writes `report.html`, its figures as PNG and `explore.json` to the folder `out`, made if missing.

    Everything is made before anything is written, and the page is written last.

    Args:
        photos: at least one.
        recipe: whose input size and anchors are laid over the labels.
        out: the folder; figures that an earlier report left there are replaced or removed.
        title: what the photos are called.
        seed: of the photos and teeth that are shown.
    """
    statistics = examine(photos, recipe, seed=seed)
    plots = plot_all(statistics)
    sheets = {name: _png(sheet) for name, sheet in _sheets(statistics, seed).items()}
    facts = statistics.as_dict()
    page = render_page(
        f"Annotated photos: {title}",
        "What a detector has to learn from, before anything is trained. This page holds the photos themselves: "
        "share it only where they may be shared.",
        words.key_facts(statistics),
        _sections(statistics, recipe, plots, sheets),
    )
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("look_alikes_*.png"):
        old.unlink()
    for name, png in {**plots, **sheets}.items():
        _write(out / f"{name}.png", png)
    _write(out / "explore.json", (json.dumps({**facts, "seed": seed}, indent=1) + "\n").encode())
    _write(out / "report.html", page.encode())
    return statistics


def _sheets(statistics: Statistics, seed: int) -> dict[str, Image.Image]:
    """Contact sheets by name; those that would show nothing are left out."""
    photos = statistics.photos
    sheets = {}
    for name, with_caries in (("photos_with_caries", True), ("photos_without_caries", False)):
        if chosen := random_photos(photos, with_caries=with_caries, count=SHEET_PHOTOS, seed=seed):
            sheets[name] = _photo_sheet(chosen, columns=3)
    for class_name in CLASS_IDS:
        if crops := tooth_crops(photos, class_name, SHEET_TEETH, seed=seed):
            sheets[f"teeth_{class_name}"] = contact_sheet(crops, columns=12, tallest=1.3)
    for number, group in enumerate(statistics.look_alikes[:STRIPS], start=1):
        sheets[f"look_alikes_{number}"] = _photo_sheet(group[:STRIP_LENGTH], columns=STRIP_LENGTH)
    for name, ordered in words.extremes(statistics).items():
        chosen, titles = ordered.photos[:EXTREMES], ordered.values[:EXTREMES]
        sheets[name] = _photo_sheet(chosen, columns=EXTREMES, values=titles)
    return sheets


def _photo_sheet(photos: Sequence[AnnotatedPhoto], *, columns: int, values: Sequence[str] = ()) -> Image.Image:
    titles = [photo.path.stem for photo in photos]
    if values:
        titles = [f"{title}: {value}" for title, value in zip(titles, values, strict=True)]
    return contact_sheet([labelled_photo(photo, longest_side=400) for photo in photos], columns=columns, titles=titles)


def _sections(
    statistics: Statistics, recipe: Recipe, plots: dict[str, bytes], sheets: dict[str, bytes]
) -> list[Section]:
    captions = words.captions(statistics)

    def plot(*names: str) -> Plots:
        shown = [name for name in names if name in plots]
        return Plots([Picture(plots[name], name.replace("_", " "), captions[name]) for name in shown])

    def sheet(*names: str) -> list[Picture]:
        shown = [name for name in names if name in sheets]
        return [Picture(sheets[name], name.replace("_", " "), captions[name], photographic=True) for name in shown]

    sections = [
        Section(
            "Photos",
            [words.photos_in_words(statistics), words.fold_table(statistics), plot("boxes_per_photo", "photo_sizes")],
        )
    ]
    if len(statistics.class_ids):
        sections += [
            Section(
                "Sizes of the teeth",
                [
                    words.sizes_in_words(statistics),
                    plot("box_sizes", "aspect_ratios", "box_shorter_sides", "box_longer_sides", "box_areas"),
                ],
            ),
            Section(
                "Anchors",
                [
                    words.reach_in_words(statistics, recipe),
                    plot("anchor_reach", "unreached_by_size", "best_anchors"),
                    words.SEARCH,
                    words.anchor_table(statistics),
                    words.chance_in_words(statistics),
                ],
            ),
        ]
    strips = [f"look_alikes_{number}" for number in range(1, STRIPS + 1)]
    sections += [
        Section("Samples", sheet("photos_with_caries", "photos_without_caries", "teeth_caries", "teeth_normal")),
        Section("Look-alikes", [words.look_alikes_in_words(statistics, STRIPS), *sheet(*strips)]),
        Section(
            "Brightness and sharpness",
            [
                words.quality_in_words(statistics),
                plot("brightness", "sharpness"),
                words.extremes_table(statistics),
                *sheet("darkest", "brightest", "least_sharp"),
            ],
        ),
    ]
    return sections


def _png(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
