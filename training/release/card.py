"""The model card: a bundle's manifest in words (Mitchell et al., Model Cards for Model Reporting, 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.measure.evaluate import figures_table
from training.measure.metrics import RESAMPLES
from training.release.parity import PER_PHOTO

TITLES = {
    "ssd_mobilenet_v2_fpnlite": "SSD MobileNetV2 FPNLite",
    "ssd_resnet50_v1_fpn": "SSD ResNet50 v1 FPN (RetinaNet)",
    "faster_rcnn_resnet50_v1": "Faster R-CNN ResNet50 v1",
    "centernet_mobilenet_v2_fpn": "CenterNet MobileNetV2 FPN",
}

_CARD = """\
# {name}, version {version}

A detector of teeth in colour photos of the mouth. It draws one box around each tooth and calls it `normal` or `caries`.
**It is not a medical device**: it points a dentist at teeth worth a second look and does not diagnose.

## Intended use

- Photos of teeth taken with a phone, a camera or an intraoral camera, looked at by a dentist together with the boxes.
- Not for X-ray images, not for decisions without a dentist, not for telling a patient that the teeth are sound.
- `caries` in the training labels stands for "suspect tooth": labellers also marked stains, plaque and fillings.

## Model

{architecture} at {height} x {width} pixels{multi_scale}, trained with the TensorFlow Object Detection API:
{num_steps} steps of {batch_size} photos{trained_at}. Pretrained weights: {pretrained_weights}

The bundle holds it as {formats}.

## Data

{photos} photos, {boxes} boxes; {training_photos} of the photos for training, {validation_photos} held out.
{rendered} rendered mouths{others} joined the training photos. Look-alike photos are kept on one side of the split.

{credit}

## Figures

Measured on {measured_on}. Brackets hold 95 % intervals: bootstrap over photos, {resamples} resamples.

{figures}
{calibration}
## Operating point

Boxes of score {score_threshold:.4f} or more are shown, at most {max_boxes} unless the caller asks otherwise.
Measured on {point_measured_on}: sensitivity {sensitivity:.3f}, precision {precision:.3f}, F1 {f1:.3f},
{false_positives:.2f} wrong boxes a photo.

## Parity with the SavedModel

The {per_photo} best detections of each photo; box differences are fractions of the photo.

{parity}

## Limits

- A few hundred photos of one origin, held-out photos included: cameras, light, ages and populations that differ from
  them may give worse results. Measure on your own photos before you rely on it.
- A threshold chosen on so few photos is uncertain; the intervals above do not cover that.
- Small teeth at the edge, metal crowns, orthodontic brackets and milk teeth are rare in the data.
- "No caries found" means that no box reached the threshold, not that the teeth are sound.

## Licence

The model's weights and this card: Apache-2.0, as the project. The data is credited above under its own licence, and
the pretrained weights' origin is stated under "Model".
"""


_CALIBRATION = """
## Calibration

The server gives each tooth one box and, for each class, the probability that the labellers would have named it so: a
logistic regression on the detector's scores, fitted on the photos named above. The figures are those of calibrated
scores, each fold's calibrated on the others; `calibration error` says how far probabilities and shares of right boxes
lie apart.
"""


def model_card(manifest: Mapping[str, Any]) -> str:
    """The Markdown text for a manifest as `training.release.package` makes it."""
    point, data = manifest["operating_point"], manifest["data"]
    return _CARD.format(
        name=manifest["model"]["name"],
        version=manifest["model"]["version"],
        height=manifest["input"]["height"],
        width=manifest["input"]["width"],
        multi_scale=_multi_scale(manifest["input"].get("multi_scale", [])),
        architecture=TITLES[manifest["recipe"].get("architecture", "ssd_mobilenet_v2_fpnlite")],
        formats=_formats(manifest["parity"]),
        num_steps=manifest["recipe"]["num_steps"],
        batch_size=manifest["recipe"]["batch_size"],
        trained_at=_trained_at(manifest.get("trained_input_size"), manifest["input"]["height"]),
        pretrained_weights=manifest["pretrained_weights"],
        photos=data["photos"],
        training_photos=data["training_photos"],
        validation_photos=data["photos"] - data["training_photos"],
        boxes=", ".join(f"{count} {name}" for name, count in data["boxes"].items()),
        rendered=data["rendered_training_photos"],
        others=_others(data.get("other_training_pictures", 0)),
        credit=data["credit"] or "The data's origin was not stated.",
        measured_on=manifest["metrics"]["measured_on"],
        resamples=RESAMPLES,
        figures=figures_table(manifest["metrics"]["models"]),
        calibration=_CALIBRATION if "calibration" in manifest else "",
        score_threshold=point["score_threshold"],
        max_boxes=point["max_boxes"],
        point_measured_on=point["measured_on"],
        sensitivity=point["sensitivity"],
        precision=point["precision"],
        f1=point["f1"],
        false_positives=point["false_positives_per_image"],
        per_photo=PER_PHOTO,
        parity=_parity_table(manifest["parity"]),
    )


def _trained_at(trained: int | None, runs: int) -> str:
    if trained is None:
        return ""
    return f" at {trained} x {trained}, whose weights run here at the {'larger' if runs > trained else 'smaller'} size"


def _multi_scale(sizes: Sequence[int]) -> str:
    if not sizes:
        return ""
    return f" and, of the same photo, at {', '.join(f'{size} x {size}' for size in sizes)}, fused tooth by tooth"


def _others(count: int) -> str:
    return f" and {count} drawn pictures of other things" if count else ""


def _formats(parity: Mapping[str, Any]) -> str:
    if not parity:
        return "SavedModel alone: this architecture does not reach TFLite, and TensorFlow has to run it"
    return "SavedModel and " + " and ".join(f"as TFLite {name}" for name in parity)


def _parity_table(parity: Mapping[str, Mapping[str, Any]]) -> str:
    if not parity:
        return "The SavedModel is the only model."
    rows = [
        "| model | compared | not found | score difference, mean / max | box difference, mean / max |",
        "|---|---|---|---|---|",
    ]
    for name, item in parity.items():
        rows.append(
            f"| {name} | {item['compared']} | {item['not_found']} "
            f"| {item['mean_score_difference']:.1e} / {item['max_score_difference']:.1e} "
            f"| {item['mean_box_difference']:.1e} / {item['max_box_difference']:.1e} |"
        )
    return "\n".join(rows)
