"""What the numbers of the report say, in sentences and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.photo.quality import PhotoQuality
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.explore.page import Table
from training.explore.statistics import Statistics
from training.model.anchors import MATCH_IOU
from training.recipe import Recipe

LISTED = 8
"""Photos in each list of the darkest, brightest and least sharp, and groups in the list of look-alikes."""

SEARCH = (
    "Anchors that were tried on these teeth. To use a row, copy its two values into a recipe. Reach is not accuracy: "
    "it says what the detector is given to learn from, a training says what it makes of it. Augmentation that crops "
    "photos enlarges teeth; these figures are of whole photos."
)


@dataclass(frozen=True, slots=True)
class Extreme:
    """Photos in the order of some measure, and the measure of each as text."""

    photos: list[AnnotatedPhoto]
    values: list[str]


def key_facts(statistics: Statistics) -> list[tuple[str, str]]:
    """What and how much, the most important first."""
    carious = int((statistics.class_ids == CLASS_IDS["caries"]).sum())
    boxes = len(statistics.class_ids)
    facts = [
        ("photos", str(len(statistics.photos))),
        ("photos with caries", f"{statistics.shows_caries.sum()} ({_percent(statistics.shows_caries)})"),
        ("labelled teeth", str(boxes)),
        ("teeth labelled caries", f"{carious} ({_percent(statistics.class_ids == CLASS_IDS['caries'])})"),
        ("groups of look-alikes", str(len(statistics.look_alikes))),
        ("photos that the service refuses", str(sum(bool(item.reasons) for item in statistics.quality))),
    ]
    if boxes:
        facts.insert(4, ("teeth that no anchor reaches", _percent(statistics.reached.unreached)))
        (best, *_) = [item for name, item in statistics.candidates if name == "found"]
        facts.insert(5, ("with the best anchors found", f"{best.unreached:.1%}"))
    return facts


def photos_in_words(statistics: Statistics) -> str:
    """Photos, groups and teeth."""
    photos, boxes = len(statistics.photos), len(statistics.class_ids)
    empty = int((statistics.boxes_per_photo == 0).sum())
    return (
        f"{photos} photos in {len({photo.group for photo in statistics.photos})} groups: "
        f"{_percent(statistics.shows_caries)} of them show a carious tooth, {empty} have no box at all. Of {boxes} "
        f"teeth {_percent(statistics.class_ids == CLASS_IDS['caries'])} are labelled caries. A training holds one fold "
        f"out and never sees its groups."
    )


def fold_table(statistics: Statistics) -> Table:
    """Photos, groups and teeth of each fold."""
    rows = []
    for number, fold in enumerate(statistics.as_dict()["folds"]):
        rows.append(
            [str(number), str(fold["photos"]), str(fold["groups"]), str(fold["photos_with_caries"])]
            + [str(fold["boxes"][name]) for name in CLASS_IDS]
        )
    return Table(("fold", "photos", "groups", "photos with caries", *(f"teeth {name}" for name in CLASS_IDS)), rows)


def sizes_in_words(statistics: Statistics) -> str:
    """How large teeth are for the detector."""
    size = statistics.anchors.input_size
    small = statistics.areas < 32**2
    return (
        f"A photo is squeezed to {size} x {size} pixels before the detector sees it. There, half of the teeth are less "
        f"than {np.median(statistics.shorter_sides):.0f} pixels wide on their shorter side, and one in twenty less "
        f"than {np.percentile(statistics.shorter_sides, 5):.0f}; {_percent(small)} are small as COCO counts it, less "
        f"than 32 x 32."
    )


def reach_in_words(statistics: Statistics, recipe: Recipe) -> str:
    """How many teeth the recipe's anchors leave out."""
    unreached = statistics.reached.unreached
    by_class = ", ".join(
        f"{_percent(unreached[statistics.class_ids == class_id])} of {name}"
        for name, class_id in CLASS_IDS.items()
        if (statistics.class_ids == class_id).any()
    )
    text = (
        f"With the recipe's anchors {_percent(unreached)} of the teeth ({unreached.sum()} of {len(unreached)}) are "
        f"reached by none at IoU {MATCH_IOU:g}: {by_class}. Such a tooth is still given its best anchor, and is learnt "
        f"from that one alone."
    )
    if not recipe.architecture.startswith("ssd_"):
        text += f" The recipe's {recipe.architecture} has other anchors or none; these are those of an SSD."
    return text


def anchor_table(statistics: Statistics) -> Table:
    """The recipe's, the stock's and the study's anchors, and those that were found."""
    rows = []
    for name, item in statistics.candidates:
        ratios = ", ".join(f"{ratio:g}" for ratio in item.anchors.aspect_ratios)
        shares = [
            "-" if value is None else form.format(value)
            for value, form in (
                (item.unreached, "{:.1%}"),
                (item.unreached_caries, "{:.1%}"),
                (item.mean_iou, "{:.3f}"),
            )
        ]
        rows.append([name, f"`aspect_ratios = [{ratios}]", f"`anchor_scale = {item.anchors.scale:g}", *shares])
    return Table(("anchors", "ratios", "scale", "teeth not reached", "carious teeth not reached", "mean IoU"), rows)


def chance_in_words(statistics: Statistics) -> str:
    """How far shares of so few boxes can be trusted: twice the binomial standard error."""
    unreached = statistics.reached.unreached
    share = float(unreached.mean())
    error = 2 * (share * (1 - share) / len(unreached)) ** 0.5
    return (
        f"Ratios are width over height of teeth in the squeezed photo. The share of other photos of the same kind "
        f"would differ by some {100 * error:.1f} percentage points by chance alone, by more where teeth of one photo "
        f"are alike: do not choose between rows that are closer than that."
    )


def look_alikes_in_words(statistics: Statistics, shown: int) -> str:
    """How many photos show nearly the same."""
    groups = statistics.look_alikes
    if not groups:
        return "Every photo is a group of its own: no two are known to be alike."
    photos = sum(map(len, groups))
    largest = ", ".join(f"{group[0].group} ({len(group)})" for group in groups[:LISTED])
    return (
        f"{len(groups)} groups hold more than one photo, {photos} photos in all; the largest are {largest}. A group is "
        f"never split between training and test. The first {min(shown, len(groups))} follow."
    )


def quality_in_words(statistics: Statistics) -> str:
    """How many photos the service would take."""
    reasons = Counter(reason for item in statistics.quality for reason in item.reasons)
    if not reasons:
        return "The service would take each of these photos: none is too dark, too bright, too small or blurred."
    listed = ", ".join(f"{count} {reason.value.replace('_', ' ')}" for reason, count in sorted(reasons.items()))
    refused = sum(bool(item.reasons) for item in statistics.quality)
    return f"The service would refuse {refused} of these photos: {listed}."


def extremes(statistics: Statistics) -> dict[str, Extreme]:
    """The darkest, the brightest and the least sharp photos."""

    def order(measure: Callable[[PhotoQuality], float], form: str, *, descending: bool = False) -> Extreme:
        pairs = sorted(
            zip(statistics.photos, statistics.quality, strict=True),
            key=lambda pair: measure(pair[1]),
            reverse=descending,
        )[:LISTED]
        return Extreme([photo for photo, _ in pairs], [form.format(measure(item)) for _, item in pairs])

    return {
        "darkest": order(lambda item: item.luminance, "{:.0f}"),
        "brightest": order(lambda item: item.luminance, "{:.0f}", descending=True),
        "least_sharp": order(lambda item: item.sharpness, "{:.3f}"),
    }


def extremes_table(statistics: Statistics) -> Table:
    """`extremes` side by side."""
    lists = [
        [f"{photo.path.name} ({value})" for photo, value in zip(item.photos, item.values, strict=True)]
        for item in extremes(statistics).values()
    ]
    headings = ("darkest (mean luminance)", "brightest (mean luminance)", "least sharp (sharpness)")
    return Table(headings, [list(row) for row in zip(*lists, strict=True)])


def captions(statistics: Statistics) -> dict[str, str]:
    """A sentence for each figure by its name."""
    sizes = np.array([[photo.width, photo.height] for photo in statistics.photos])
    counts = statistics.boxes_per_photo
    luminance = np.array([item.luminance for item in statistics.quality])
    sharpness = np.array([item.sharpness for item in statistics.quality])
    size = statistics.anchors.input_size
    texts = {
        "boxes_per_photo": f"Half of the photos show {np.median(counts):.0f} teeth or fewer; the fullest shows "
        f"{counts.max(initial=0)}.",
        "photo_sizes": f"Half of the photos are at most {np.median(sizes.max(axis=1)):.0f} pixels long; "
        f"{_percent(sizes.min(axis=1) < size)} have a side below {size} pixels and are enlarged for the detector.",
        "brightness": f"Half of the photos lie between {np.percentile(luminance, 25):.0f} and "
        f"{np.percentile(luminance, 75):.0f}, from {luminance.min():.0f} to {luminance.max():.0f} in all.",
        "sharpness": f"The middle photo has {np.median(sharpness):.2f}, the least sharp {sharpness.min():.3f}.",
        "photos_with_caries": "Photos with caries, drawn at random. C, thick box: caries; N, thin box: normal.",
        "photos_without_caries": "Photos without a tooth labelled caries, drawn at random.",
        "teeth_caries": "Teeth labelled caries, drawn at random. Each should show why it is called so.",
        "teeth_normal": "Teeth labelled normal, drawn at random. None should look carious.",
        "darkest": "The darkest photos, with their mean luminance.",
        "brightest": "The brightest photos, with their mean luminance.",
        "least_sharp": "The least sharp photos, with their sharpness.",
    }
    for number, group in enumerate(statistics.look_alikes, start=1):
        texts[f"look_alikes_{number}"] = f"Group {group[0].group}: {len(group)} photos, fold {group[0].fold}."
    return texts if not len(statistics.class_ids) else texts | _captions_of_boxes(statistics)


def _captions_of_boxes(statistics: Statistics) -> dict[str, str]:
    shapes, ratios = statistics.reached.shapes, statistics.aspect_ratios
    slender = min(statistics.anchors.aspect_ratios)
    unused = int((statistics.best_for == 0).sum())
    worst = max(statistics.unreached_by_size, key=lambda entry: (entry["unreached"] / entry["boxes"], entry["boxes"]))
    upper = f" to {worst['to']:.0f}" if worst["to"] else " and more"
    shorter, longer, areas = shapes.min(axis=1).min(), shapes.max(axis=1).min(), shapes.prod(axis=1).min()
    return {
        "box_sizes": "Each dot is a tooth, each plus an anchor; teeth that no anchor reaches are marked x.",
        "box_shorter_sides": f"{_percent(statistics.shorter_sides < shorter)} of the teeth are narrower than the "
        f"narrowest anchor ({shorter:.0f} pixels).",
        "box_longer_sides": f"{_percent(statistics.longer_sides < longer)} of the teeth are shorter than the shortest "
        f"long side of an anchor ({longer:.0f} pixels).",
        "box_areas": f"{_percent(statistics.areas < areas)} of the teeth are smaller than the smallest anchor "
        f"({areas**0.5:.0f} x {areas**0.5:.0f} pixels in area).",
        "aspect_ratios": f"{_percent(ratios < 1)} of the teeth are taller than wide in the squeezed photo; the middle "
        f"tooth is {np.median(ratios):.2f} times as wide as tall, and {_percent(ratios < slender)} are more slender "
        f"than the recipe's most slender anchor ({slender:g}).",
        "anchor_reach": f"Half of the teeth overlap their best anchor by {np.median(statistics.reached.iou):.2f} or "
        f"more; those left of the line are reached by none.",
        "unreached_by_size": f"Worst off are teeth of {worst['from']:.0f}{upper} pixels (square root of the area): "
        f"{worst['unreached']} of {worst['boxes']} are not reached.",
        "best_anchors": f"{unused} of {len(shapes)} anchor shapes are the best for no tooth: they are computed at "
        f"every place for nothing. Shapes are height x width, the largest at the bottom.",
    }


def _percent(values: npt.NDArray[np.bool_]) -> str:
    return f"{values.mean():.1%}" if len(values) else "-"
