"""The report: a self-contained HTML page, its figures as PNG files, and its numbers as JSON."""

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
    """Write `report.html`, its figures as PNG and `explore.json` to the folder `out`, created if missing.

    Args:
        recipe: whose input size and anchors are compared with the labels.
        out: the folder; figures of an earlier report are replaced or removed.
        seed: of the photos and teeth that are shown.
    """
    statistics = examine(photos, recipe, seed=seed)
    plots = plot_all(statistics)
    sheets = {name: _png(sheet) for name, sheet in _sheets(statistics, seed).items()}
    facts = statistics.as_dict()
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
    write_file(out / "explore.json", json.dumps({**facts, "seed": seed}, indent=1) + "\n")
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
        sheets[name] = _photo_sheet(ordered.photos[:EXTREMES], columns=EXTREMES, values=ordered.values)
    return sheets


def _photo_sheet(photos: Sequence[AnnotatedPhoto], *, columns: int, values: Sequence[str] = ()) -> Image.Image:
    titles = [photo.path.stem for photo in photos]
    if values:
        titles = [f"{title}: {value}" for title, value in zip(titles, values, strict=False)]
    return contact_sheet([labelled_photo(photo, max_side=400) for photo in photos], columns=columns, titles=titles)


def _sections(
    statistics: Statistics, recipe: Recipe, plots: dict[str, bytes], sheets: dict[str, bytes]
) -> list[Section]:
    captions = words.captions(statistics)

    def pictures(of: dict[str, bytes], names: Sequence[str], *, photographic: bool) -> list[Picture]:
        shown = [name for name in names if name in of]
        return [Picture(of[name], name.replace("_", " "), captions[name], photographic) for name in shown]

    def plot(*names: str) -> Plots:
        return Plots(pictures(plots, names, photographic=False))

    def sheet(*names: str) -> list[Picture]:
        return pictures(sheets, names, photographic=True)

    strips = [f"look_alikes_{number}" for number in range(1, STRIPS + 1)]
    of_boxes = (
        [
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
        if len(statistics.class_ids)
        else []
    )
    return [
        Section(
            "Photos",
            [words.photos_in_words(statistics), words.fold_table(statistics), plot("boxes_per_photo", "photo_sizes")],
        ),
        *of_boxes,
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


def _png(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()
