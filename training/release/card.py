"""The model card: a bundle's manifest in words (Mitchell et al., Model Cards for Model Reporting, 2019)."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.screening import Verdict
from training.measure.metrics import RESAMPLES
from training.measure.operating_points import DEFAULT_POINT
from training.measure.report import figures_table
from training.output import markdown_table
from training.release.parity import PER_PHOTO

TITLES = {
    "ssd_mobilenet_v2_fpnlite": "SSD MobileNetV2 FPNLite",
    "ssd_resnet50_v1_fpn": "SSD ResNet50 v1 FPN (RetinaNet)",
    "faster_rcnn_resnet50_v1": "Faster R-CNN ResNet50 v1",
    "centernet_mobilenet_v2_fpn": "CenterNet MobileNetV2 FPN",
}

_CARD = """\
# {name}, version {version}

A detector of teeth in colour photos of the mouth. It draws one box around each tooth and labels it `normal` or
`caries`. **It is not a medical device**: it points a dentist to teeth worth a second look and does not diagnose.

## Intended use

- Photos of teeth from a phone, a camera or an intraoral camera, reviewed by a dentist together with the boxes.
- Not for X-ray images, not for decisions without a dentist, not for reassuring a patient that the teeth are sound.
- `caries` in the training labels means "suspect tooth": some labellers also marked stains, plaque and fillings.

## Model

{architecture} at {height} x {width} pixels{multi_scale}, trained with the TensorFlow Object Detection API:
{num_steps} steps of {batch_size} photos{trained_at}. Pretrained weights: {pretrained_weights}

The bundle contains {formats}.

## Data

{photos} photos, {boxes} boxes; {training_photos} of the photos for training, {validation_photos} held out.
{rendered} rendered mouths{others} joined the training photos. Look-alike photos are in the same part of the split.

{credit}

## Figures

Measured on {measured_on}. Brackets: 95 % intervals by bootstrap over photos, {resamples} resamples.

{figures}{by_source}{calibration}
## Operating points

Boxes with a score of the operating point or more are shown, at most {max_boxes} unless the client asks for another
number. The default is `{default}`, {score_threshold:.4f}, measured on {point_measured_on}.

{points}
## Parity with the SavedModel

The {per_photo} best detections of each photo; box differences are fractions of the photo.

{parity}

## Limits

- All photos, including those held out, come from {origin}. Results may be worse with other cameras, light, ages and
  populations: measure on your own photos before you rely on the detector.
- A threshold chosen on few photos is uncertain; the intervals above do not include that.
- Small teeth at the edge, metal crowns, orthodontic brackets and milk teeth are rare in the data.
- "No caries found" means that no box reached the threshold, not that the teeth are sound.

## Licence

The model's weights and this card: Apache-2.0, like the project. The data is credited above under its own licence; the
source of the pretrained weights is stated under "Model".
"""


_CALIBRATION = """
## Calibration

The server gives each tooth one box and, for each class, the probability that the labellers would have chosen it: a
logistic regression on the detector's scores, fitted on the photos named above, in which every data set counts equally.
The figures are of calibrated scores, each part of the photos calibrated on the others; `calibration error` is the mean
difference between probabilities and shares of right boxes.
"""

_BY_SOURCE = """
With several data sets, these are the means, in which each counts equally. By data set ({model}):

{table}"""


def model_card(manifest: Mapping[str, Any]) -> str:
    """The Markdown text for a manifest of `training.release.package`."""
    point, data, recipe = manifest["operating_point"], manifest["data"], manifest["recipe"]
    height, trained_at = manifest["input"]["height"], manifest.get("trained_input_size")
    sizes = ", ".join(f"{size} x {size}" for size in manifest["input"].get("multi_scale", []))
    other_pictures = data.get("other_training_pictures", 0)
    models, sets = manifest["metrics"]["models"], data.get("sets", [])
    return _CARD.format(
        **manifest["model"],
        height=height,
        width=manifest["input"]["width"],
        multi_scale=f" and, of the same photo, at {sizes}, fused tooth by tooth" if sizes else "",
        architecture=TITLES[recipe.get("architecture", "ssd_mobilenet_v2_fpnlite")],
        formats=_formats(manifest["parity"]),
        num_steps=recipe["num_steps"],
        batch_size=recipe["batch_size"],
        trained_at=_trained_at(trained_at, height) if trained_at else "",
        pretrained_weights=_initial_weights(manifest),
        photos=data["photos"],
        training_photos=data["training_photos"],
        validation_photos=data["photos"] - data["training_photos"],
        boxes=", ".join(f"{count} {name}" for name, count in data["boxes"].items()),
        rendered=data["rendered_training_photos"],
        others=f" and {other_pictures} drawn pictures of other objects" if other_pictures else "",
        credit=_credits(data["credit"], sets) or "The data's origin was not stated.",
        origin="one source" if len(sets) < 2 else f"{len(sets)} sources",
        measured_on=manifest["metrics"]["measured_on"],
        resamples=RESAMPLES,
        figures=figures_table(models),
        by_source=_by_source(models),
        calibration=_CALIBRATION if "calibration" in manifest else "",
        default=point.get("name", DEFAULT_POINT),
        score_threshold=point["score_threshold"],
        max_boxes=point["max_boxes"],
        point_measured_on=point["measured_on"],
        points=_points(manifest.get("operating_points", {})),
        per_photo=PER_PHOTO,
        parity=_parity_table(manifest["parity"]),
    )


def _credits(credit: str, sets: Sequence[Mapping[str, Any]]) -> str:
    """A line for each data set if one states its credit, else the recipe's credit."""
    if not any(one["credit"] for one in sets):
        return credit
    lines = []
    for one in sets:
        licence = one["licence"] and f"Licence: {one['licence']}"
        texts = [" ".join(text.split()).rstrip(".") for text in (one["credit"], licence) if text]
        numbers = f"{one['photos']} photos, {one['training_photos']} for training ({one['labels']} labelled)"
        lines.append(f"- `{one['name']}`, {numbers}: {'. '.join(texts) or 'origin not stated'}.")
    return "\n".join(lines)


def _by_source(models: Mapping[str, Any]) -> str:
    """The figures of the last float model by source, if there are several."""
    model = "float32" if "float32" in models else next(iter(models))
    sources = models[model].get("sources")
    return _BY_SOURCE.format(model=model, table=figures_table(sources)) if sources else ""


def _points(points: Mapping[str, Mapping[str, Any]]) -> str:
    """The goals, and a row for each point and source; nothing without named points, as in older bundles."""
    if not points:
        return ""
    rows = []
    for name, point in points.items():
        sources = point["by_source"]
        of_sources = dict(sources) if len(sources) > 1 else {}
        for source, figures in {**of_sources, "mean" if of_sources else "": point}.items():
            specificity = figures["photo_specificity"]
            numbers = [
                *(figures[key] for key in ("sensitivity", "precision", "f1")),
                *(figures[key] for key in ("photo_sensitivity", "photos_cleared")),
                None if specificity is None else 1 - specificity,
                figures["not_assessable"],
            ]
            per_photo = f"{figures['false_positives_per_image']:.2f}"
            cells = ["-" if value is None else f"{value:.3f}" for value in numbers]
            rows.append([f"`{name}`", f"{point['score_threshold']:.4f}", source, per_photo, *cells])
    headings = [
        *("point", "score", "data set", "wrong boxes per photo", "sensitivity", "precision", "F1"),
        *("photos with caries suspected", f"called {Verdict.NO_CARIES_FOUND}"),
        *("photos without caries suspected", "not assessable"),
    ]
    goals = "".join(
        f"- `{name}`: {point['goal']}{'' if point['is_reached'] else ' (out of reach, so without the bounds)'}.\n"
        for name, point in points.items()
    )
    return f"{goals}\n{markdown_table(headings, rows)}"


def _initial_weights(manifest: Mapping[str, Any]) -> str:
    weights = str(manifest["pretrained_weights"]) or "unknown"
    if start := manifest.get("started_from"):
        weights += (
            f"\nThe training started from {start['name']} (sha256 {start['sha256'][:12]}), which started from them"
        )
    if finder := manifest.get("teeth_from"):
        weights += f". Teeth without a label were found by {finder['name']} (sha256 {finder['sha256'][:12]})"
    return weights


def _trained_at(trained: int, runs: int) -> str:
    return f" at {trained} x {trained}, whose weights run here at the {'larger' if runs > trained else 'smaller'} size"


def _formats(parity: Mapping[str, Any]) -> str:
    if not parity:
        return "the SavedModel alone: this architecture cannot be converted to TFLite, and TensorFlow has to run it"
    return "a SavedModel and TFLite models in " + " and ".join(parity)


def _parity_table(parity: Mapping[str, Mapping[str, Any]]) -> str:
    if not parity:
        return "The SavedModel is the only model."
    rows = [
        (
            name,
            f"{item['compared']}",
            f"{item['not_found']}",
            f"{item['mean_score_difference']:.1e} / {item['max_score_difference']:.1e}",
            f"{item['mean_box_difference']:.1e} / {item['max_box_difference']:.1e}",
        )
        for name, item in parity.items()
    ]
    headings = ("model", "compared", "not found", "score difference, mean / max", "box difference, mean / max")
    return markdown_table(headings, rows).rstrip()
