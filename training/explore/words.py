"""The report's sentences, tables and captions."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.explore.page import Table
from training.explore.statistics import Statistics
from training.model.anchors import MATCH_IOU
from training.recipe import Recipe

LISTED = 8
"""Photos in each list of the darkest, brightest and least sharp, and groups in the list of look-alikes."""

SEARCH = (
    "Anchors measured on these teeth. To use a row, copy its two values to a recipe. Reach is not accuracy: it says "
    "how well the detector's targets fit, not how well it learns. The figures are for complete photos; augmentation "
    "that crops photos enlarges teeth."
)


def key_facts(statistics: Statistics) -> list[tuple[str, str]]:
    """Names and values, most important first."""
    is_caries = statistics.class_ids == CLASS_IDS["caries"]
    facts = [
        ("photos", str(len(statistics.photos))),
        ("photos with caries", f"{statistics.shows_caries.sum()} ({_percent(statistics.shows_caries)})"),
        ("labelled teeth", str(len(is_caries))),
        ("teeth labelled caries", f"{is_caries.sum()} ({_percent(is_caries)})"),
    ]
    if len(is_caries):
        best = next(item for name, item in statistics.candidates if name == "found")
        facts.append(("teeth that no anchor reaches", _percent(statistics.reached.unreached)))
        facts.append(("with the best anchors found", f"{best.unreached:.1%}"))
    return [
        *facts,
        ("groups of look-alikes", str(len(statistics.look_alikes))),
        ("photos that the server rejects", str(sum(bool(item.reasons) for item in statistics.quality))),
    ]


def photos_in_words(statistics: Statistics) -> str:
    """Photos, groups and teeth."""
    photos, boxes = len(statistics.photos), len(statistics.class_ids)
    empty = int((statistics.boxes_per_photo == 0).sum())
    return (
        f"{photos} photos in {len({photo.group for photo in statistics.photos})} groups: "
        f"{_percent(statistics.shows_caries)} show a carious tooth, {empty} have no box. Of {boxes} teeth "
        f"{_percent(statistics.class_ids == CLASS_IDS['caries'])} are labelled caries. A training holds one fold out "
        f"and never sees its groups."
    )


def fold_table(statistics: Statistics) -> Table:
    """Photos, groups and teeth of each fold."""
    rows = [
        [str(number), *(str(fold[key]) for key in ("photos", "groups", "photos_with_caries"))]
        + [str(fold["boxes"][name]) for name in CLASS_IDS]
        for number, fold in enumerate(statistics.folds)
    ]
    return Table(("fold", "photos", "groups", "photos with caries", *(f"teeth {name}" for name in CLASS_IDS)), rows)


def sizes_in_words(statistics: Statistics) -> str:
    """Sizes of the teeth at the model's input."""
    size, sides = statistics.anchors.input_size, statistics.shorter_sides
    return (
        f"Photos are squeezed to {size} x {size} pixels for the detector. At that size, the shorter side of half of "
        f"the teeth is below {np.median(sides):.0f} pixels, and of one in twenty below {np.percentile(sides, 5):.0f}; "
        f"{_percent(statistics.areas < 32**2)} are small in COCO's terms, below 32 x 32."
    )


def reach_in_words(statistics: Statistics, recipe: Recipe) -> str:
    """The teeth that the recipe's anchors do not reach."""
    unreached = statistics.reached.unreached
    by_class = ", ".join(
        f"{_percent(unreached[statistics.class_ids == class_id])} of {name}"
        for name, class_id in CLASS_IDS.items()
        if (statistics.class_ids == class_id).any()
    )
    text = (
        f"No anchor of the recipe reaches {_percent(unreached)} of the teeth ({unreached.sum()} of {len(unreached)}) "
        f"at IoU {MATCH_IOU:g}: {by_class}. Such a tooth still gets its best anchor, and is learnt from that one alone."
    )
    if not recipe.architecture.startswith("ssd_"):
        text += f" The recipe's {recipe.architecture} has other anchors or none; these are those of an SSD."
    return text


def anchor_table(statistics: Statistics) -> Table:
    """The recipe's, the stock's and the study's anchors, and those that were found."""
    rows = []
    for name, item in statistics.candidates:
        ratios = ", ".join(f"{ratio:g}" for ratio in item.anchors.aspect_ratios)
        figures = ((item.unreached, "{:.1%}"), (item.unreached_caries, "{:.1%}"), (item.mean_iou, "{:.3f}"))
        texts = ["-" if value is None else form.format(value) for value, form in figures]
        rows.append([name, f"`aspect_ratios = [{ratios}]", f"`anchor_scale = {item.anchors.scale:g}", *texts])
    return Table(("anchors", "ratios", "scale", "teeth not reached", "carious teeth not reached", "mean IoU"), rows)


def chance_in_words(statistics: Statistics) -> str:
    """The uncertainty of shares of so few boxes: twice the binomial standard error."""
    unreached = statistics.reached.unreached
    share = float(unreached.mean())
    error = 2 * (share * (1 - share) / len(unreached)) ** 0.5
    return (
        f"Ratios are width over height in the squeezed photo. On other photos of the same kind the share would differ "
        f"by about {100 * error:.1f} percentage points by chance alone, and by more if the teeth of a photo are alike: "
        f"do not choose between rows that are closer than that."
    )


def look_alikes_in_words(statistics: Statistics, shown: int) -> str:
    """Groups of nearly identical photos."""
    groups = statistics.look_alikes
    if not groups:
        return "Every photo is its own group: no two are known to be alike."
    largest = ", ".join(f"{group[0].group} ({len(group)})" for group in groups[:LISTED])
    return (
        f"{len(groups)} groups have more than one photo, {sum(map(len, groups))} photos in all; the largest are "
        f"{largest}. A group is never split between training and test. The first {min(shown, len(groups))} follow."
    )


def quality_in_words(statistics: Statistics) -> str:
    """The photos that the server would reject."""
    reasons = Counter(reason for item in statistics.quality for reason in item.reasons)
    if not reasons:
        return "The server would accept every photo: none is too dark, too bright, too small or blurred."
    listed = ", ".join(f"{count} {reason.value.replace('_', ' ')}" for reason, count in sorted(reasons.items()))
    rejected = sum(bool(item.reasons) for item in statistics.quality)
    return f"The server would reject {rejected} of these photos: {listed}."


def extremes(statistics: Statistics) -> dict[str, list[tuple[AnnotatedPhoto, str]]]:
    """The darkest, the brightest and the least sharp photos, with the measure of each as text."""
    pairs = list(zip(statistics.photos, statistics.quality, strict=True))
    dark = sorted(pairs, key=lambda pair: pair[1].luminance)[:LISTED]
    bright = sorted(pairs, key=lambda pair: pair[1].luminance, reverse=True)[:LISTED]
    blurred = sorted(pairs, key=lambda pair: pair[1].sharpness)[:LISTED]
    return {
        "darkest": [(photo, f"{quality.luminance:.0f}") for photo, quality in dark],
        "brightest": [(photo, f"{quality.luminance:.0f}") for photo, quality in bright],
        "least_sharp": [(photo, f"{quality.sharpness:.3f}") for photo, quality in blurred],
    }


def extremes_table(statistics: Statistics) -> Table:
    """`extremes` side by side."""
    lists = [[f"{photo.path.name} ({value})" for photo, value in pairs] for pairs in extremes(statistics).values()]
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
        "boxes_per_photo": f"Half of the photos show {np.median(counts):.0f} teeth or fewer; the maximum is "
        f"{counts.max(initial=0)}.",
        "photo_sizes": f"The longer side of half of the photos is at most {np.median(sizes.max(axis=1)):.0f} pixels; "
        f"{_percent(sizes.min(axis=1) < size)} have a side below {size} pixels and are enlarged for the detector.",
        "brightness": f"Half of the photos are between {np.percentile(luminance, 25):.0f} and "
        f"{np.percentile(luminance, 75):.0f}, all between {luminance.min():.0f} and {luminance.max():.0f}.",
        "sharpness": f"The median is {np.median(sharpness):.2f}, the minimum {sharpness.min():.3f}.",
        "photos_with_caries": "Random photos with caries. Thick box, C: caries; thin box, N: normal.",
        "photos_without_caries": "Random photos without a tooth labelled caries.",
        "teeth_caries": "Random teeth labelled caries. Each should show why.",
        "teeth_normal": "Random teeth labelled normal. None should look carious.",
        "darkest": "The darkest photos, with their mean luminance.",
        "brightest": "The brightest photos, with their mean luminance.",
        "least_sharp": "The least sharp photos, with their sharpness.",
    }
    for number, group in enumerate(statistics.look_alikes, start=1):
        texts[f"look_alikes_{number}"] = f"Group {group[0].group}: {len(group)} photos, fold {group[0].fold}."
    return texts if not len(statistics.class_ids) else texts | _captions_of_boxes(statistics)


def _captions_of_boxes(statistics: Statistics) -> dict[str, str]:
    shapes, ratios = statistics.reached.shapes, statistics.aspect_ratios
    narrowest = min(statistics.anchors.aspect_ratios)
    unused = int((statistics.best_for == 0).sum())
    worst = max(statistics.unreached_by_size, key=lambda entry: (entry["unreached"] / entry["boxes"], entry["boxes"]))
    upper = f" to {worst['to']:.0f}" if worst["to"] else " and more"
    shorter, longer, areas = shapes.min(axis=1).min(), shapes.max(axis=1).min(), shapes.prod(axis=1).min()
    return {
        "box_sizes": "Each dot is a tooth, each plus an anchor; x marks teeth that no anchor reaches.",
        "box_shorter_sides": f"The shorter side of {_percent(statistics.shorter_sides < shorter)} of the teeth is "
        f"below that of every anchor ({shorter:.0f} pixels).",
        "box_longer_sides": f"The longer side of {_percent(statistics.longer_sides < longer)} of the teeth is below "
        f"that of every anchor ({longer:.0f} pixels).",
        "box_areas": f"{_percent(statistics.areas < areas)} of the teeth are smaller than the smallest anchor "
        f"({areas**0.5:.0f} x {areas**0.5:.0f} pixels in area).",
        "aspect_ratios": f"{_percent(ratios < 1)} of the teeth are taller than wide in the squeezed photo; the median "
        f"tooth is {np.median(ratios):.2f} times as wide as tall, and {_percent(ratios < narrowest)} are narrower than "
        f"the recipe's narrowest anchor ({narrowest:g}).",
        "anchor_reach": f"Half of the teeth overlap their best anchor by {np.median(statistics.reached.iou):.2f} or "
        f"more; no anchor reaches those left of the line.",
        "unreached_by_size": f"The worst range is {worst['from']:.0f}{upper} pixels (square root of the area): "
        f"{worst['unreached']} of {worst['boxes']} teeth are not reached.",
        "best_anchors": f"{unused} of {len(shapes)} anchor shapes are the best for no tooth: they are computed at "
        f"every place without use. Shapes are height x width, the largest at the bottom.",
    }


def _percent(values: npt.NDArray[np.bool_]) -> str:
    return f"{values.mean():.1%}" if len(values) else "-"
