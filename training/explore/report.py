"""The report: one HTML file that needs nothing else, its figures as PNG beside it, and its numbers as JSON."""

from __future__ import annotations

import base64
import difflib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import images
from app.screening import assess_quality
from training.annotations import CLASS_IDS, AnnotatedPhoto
from training.errors import TrainingError
from training.explore.figures import contact_sheet, labelled_photo, random_photos, tooth_crops, write_plots
from training.explore.statistics import Statistics, examine
from training.recipe import Recipe

LISTED = 8
"""Photos in each list of the darkest, brightest and least sharp."""

STRIPS = 6
"""Groups of look-alikes that are shown."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left }
.plots { display: flex; flex-wrap: wrap; gap: 1rem } .plots img { max-width: 36rem; width: 100% }
img { max-width: 100%; height: auto } code { background: #f2f2f2; padding: .1rem .3rem }
@media print { h2 { break-after: avoid } img { break-inside: avoid } }
"""


class ExploreError(TrainingError):
    """There is no photo of the name that was asked for."""


def write_report(photos: Sequence[AnnotatedPhoto], recipe: Recipe, out: Path, *, title: str) -> Statistics:
    """Writes `report.html`, its figures as PNG and `explore.json` to the folder `out`, made if missing.

    Args:
        photos: at least one.
        recipe: whose input size and anchors are laid over the labels.
        out: the folder.
        title: what the photos are called.
    """
    out.mkdir(parents=True, exist_ok=True)
    statistics = examine(photos, recipe)
    figures = write_plots(statistics, out)
    sheets = {
        "photos_with_caries": [labelled_photo(photo) for photo in random_photos(photos, "caries", 12)],
        "photos_without_caries": [labelled_photo(photo) for photo in random_photos(photos, None, 12)],
    }
    for name, pictures in sheets.items():
        figures[name] = _save(contact_sheet(pictures, columns=4), out / f"{name}.png")
    for name in CLASS_IDS:
        crops = tooth_crops(photos, name, 48)
        figures[f"teeth_{name}"] = _save(contact_sheet(crops, columns=12, shape=1.3), out / f"teeth_{name}.png")
    for number, group in enumerate(statistics.look_alikes[:STRIPS], start=1):
        strip = contact_sheet([labelled_photo(photo) for photo in group[:8]], columns=8)
        figures[f"look_alikes_{number}"] = _save(strip, out / f"look_alikes_{number}.png")
    (out / "explore.json").write_text(json.dumps(statistics.as_dict(), indent=2) + "\n", encoding="utf-8")
    page = _page(statistics, figures, title)
    partial = out / ".report.html.partial"
    partial.write_text(page, encoding="utf-8")
    partial.replace(out / "report.html")
    return statistics


def write_sample(photos: Sequence[AnnotatedPhoto], name: str, out: Path) -> str:
    """Writes `sample-NAME.png`, one photo with its boxes, and returns what is known of it as text.

    Args:
        photos: of which one is chosen.
        name: the photo's file name, with or without suffix, or the number in it, such as 777 for `Folder_0777.jpg`.
        out: folder for the picture, made if missing.

    Raises:
        ExploreError: there is no such photo; the message holds the nearest names.
    """
    photo = find_photo(photos, name)
    out.mkdir(parents=True, exist_ok=True)
    path = _save(labelled_photo(photo, longest_side=1600), out / f"sample-{photo.path.stem}.png")
    quality = assess_quality(images.decode(photo.path.read_bytes()).pixels)
    names = {class_id: class_name for class_name, class_id in CLASS_IDS.items()}
    lines = [
        f"{photo.path.name}: {photo.width}x{photo.height} pixels, group {photo.group}, fold {photo.fold}",
        f"luminance {quality.luminance:.0f}, sharpness {quality.sharpness:.2f}, tissue {quality.tissue:.2f}",
        f"{len(photo.boxes)} boxes (class, xmin, ymin, xmax, ymax in pixels):",
    ]
    for (ymin, xmin, ymax, xmax), class_id in zip(photo.boxes, photo.class_ids, strict=True):
        corners = (xmin * photo.width, ymin * photo.height, xmax * photo.width, ymax * photo.height)
        lines.append(f"  {names[int(class_id)]:7}" + "".join(f"{float(corner):8.1f}" for corner in corners))
    return "\n".join([*lines, str(path)])


def find_photo(photos: Sequence[AnnotatedPhoto], name: str) -> AnnotatedPhoto:
    """The photo of a name, a name without suffix, or a number; see `write_sample`."""
    for photo in photos:
        if name in (photo.path.name, photo.path.stem):
            return photo
    if name.isdecimal():
        for photo in photos:
            numbers = re.findall(r"\d+", photo.path.stem)
            if numbers and int(numbers[-1]) == int(name):
                return photo
    near = difflib.get_close_matches(name, [photo.path.name for photo in photos], n=3, cutoff=0.0)
    raise ExploreError(f"there is no photo {name!r}; the nearest names are {', '.join(near)}")


def _page(statistics: Statistics, figures: dict[str, Path], title: str) -> str:
    facts = statistics.as_dict()

    def figure(name: str, words: str) -> str:
        data = base64.b64encode(figures[name].read_bytes()).decode()
        return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{data}">'

    plots = "".join(
        figure(name, words)
        for name, words in (
            ("boxes_per_photo", "Teeth in a photo"),
            ("box_sizes", "Sizes of teeth and anchors"),
            ("aspect_ratios", "Aspect ratios of teeth and anchors"),
            ("anchor_reach", "Reach of the anchors"),
            ("brightness", "Brightness"),
            ("sharpness", "Sharpness"),
        )
    )
    strips = "".join(
        f"<p>{len(group)} photos of group {html.escape(group[0].group)}</p>"
        + figure(f"look_alikes_{number}", "Look-alike photos")
        for number, group in enumerate(statistics.look_alikes[:STRIPS], start=1)
    )
    sides, ratios = facts["box_shorter_side"], facts["box_aspect_ratio"]
    size = facts["input_size"]
    teeth = (
        f"<p>Half of the teeth are narrower than {sides['p50']:.0f} pixels on their shorter side once a photo is "
        f"squeezed to {size} x {size}; one in twenty is below {sides['p5']:.0f}. Half of them are less wide than "
        f"{ratios['p50']:.2f} times their height.</p>"
        if sides
        else "<p>No tooth is labelled.</p>"
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}: annotated photos</title><style>{_STYLE}</style>
<h1>{html.escape(title)}</h1>
{_table(_key_facts(facts))}
<h2>Distributions</h2>{teeth}<div class="plots">{plots}</div>
<h2>Anchors</h2>
<p>With the recipe's anchors {facts["unreached"]:.1%} of the teeth are reached by none at IoU 0.5:
{_by_class(facts["unreached_by_class"])}. Such teeth are learnt from one anchor alone. To use another row, copy its
values into a recipe.</p>
{_table(_anchor_rows(facts["anchors"]), heading=True)}
<h2>Photos with caries</h2>{figure("photos_with_caries", "Photos with carious teeth in red")}
<h2>Photos without caries</h2>{figure("photos_without_caries", "Photos without carious teeth")}
<h2>Teeth labelled caries</h2>{figure("teeth_caries", "Teeth labelled caries")}
<h2>Teeth labelled normal</h2>{figure("teeth_normal", "Teeth labelled normal")}
<h2>Look-alikes</h2>
<p>{len(statistics.look_alikes)} groups of more than one photo; a group is never split between training and test.</p>
{strips}
<h2>Brightness and sharpness</h2>{_table(_extremes(statistics), heading=True)}
</html>
"""


def _key_facts(facts: dict[str, Any]) -> list[list[str]]:
    boxes = facts["boxes"]
    return [
        ["photos", str(facts["photos"])],
        ["of them with a carious tooth", str(facts["photos_with_caries"])],
        ["of them without any box", str(facts["photos_without_boxes"])],
        ["boxes", ", ".join(f"{count} {name}" for name, count in boxes.items())],
        ["photos in folds 0 to 4", ", ".join(map(str, facts["photos_in_folds"]))],
        ["groups", str(facts["groups"])],
        ["longer side of half of the photos", f"at most {facts['photo_longer_side']['p50']:.0f} pixels"],
    ]


def _by_class(shares: dict[str, float]) -> str:
    return ", ".join(f"{value:.1%} of {name}" for name, value in shares.items())


def _anchor_rows(anchors: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["anchors", "in a recipe", "teeth that none reaches"]]
    for item in anchors:
        ratios = ", ".join(f"{ratio:g}" for ratio in item["aspect_ratios"])
        text = f"aspect_ratios = [{ratios}], anchor_scale = {item['anchor_scale']:g}"
        rows.append([item["name"], text, f"{item['unreached']:.1%}"])
    return rows


def _extremes(statistics: Statistics) -> list[list[str]]:
    pairs = list(zip(statistics.photos, statistics.quality, strict=True))
    by_luminance = sorted(pairs, key=lambda pair: pair[1].luminance)
    by_sharpness = sorted(pairs, key=lambda pair: pair[1].sharpness)
    rows = [["darkest", "brightest", "least sharp"]]
    for dark, bright, soft in zip(
        by_luminance[:LISTED], by_luminance[::-1][:LISTED], by_sharpness[:LISTED], strict=True
    ):
        rows.append(
            [
                f"{dark[0].path.name} ({dark[1].luminance:.0f})",
                f"{bright[0].path.name} ({bright[1].luminance:.0f})",
                f"{soft[0].path.name} ({soft[1].sharpness:.2f})",
            ]
        )
    return rows


def _table(rows: list[list[str]], *, heading: bool = False) -> str:
    def cells(row: list[str], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

    lines = [f"<tr>{cells(row, 'th' if heading and number == 0 else 'td')}</tr>" for number, row in enumerate(rows)]
    return f"<table>{''.join(lines)}</table>"


def _save(picture: Any, path: Path) -> Path:
    picture.save(path, optimize=False)
    return path
