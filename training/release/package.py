"""Package exported models, figures and parity as a bundle that the server reads."""

import datetime
import importlib.metadata
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.detector.bundle import CARD, LABEL_MAP, Bundle, read_bundle, write_manifest
from app.screening import DEFAULT_MAX_BOXES
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.data.prepare import label_map_text
from training.data.seen_photos import SEEN_PHOTOS, SeenPhotos
from training.measure.evidence import Evidence
from training.measure.metrics import SCREENED_CLASS
from training.measure.operating_points import BOX_FIGURES, DEFAULT_POINT
from training.model.pretrained.catalogue import credit
from training.recipe import Recipe
from training.release.card import model_card
from training.release.export import SAVED_MODEL
from training.release.parity import Parity, ParityError
from training.release.tflite import FILES

TOOLS = ("tensorflow", "tf-object-detection-api", "tf-keras", "ai-edge-litert", "numpy", "pycocotools", "pillow")


def package(
    export: Path,
    store: Path,
    *,
    version: int,
    recipe: Recipe,
    photos: Sequence[AnnotatedPhoto],
    evidence: Evidence,
    parity: dict[str, Parity],
    checkpoint: str,
    held_out_fold: int | None,
    trained_input_size: int | None = None,
    sets: Sequence[Mapping[str, Any]] = (),
    replaces: Sequence[str] = (),
    seen: SeenPhotos | None = None,
    origin: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Bundle:
    """Write the bundle `store/<model_name>/<version>/`, completely or not at all, and return it verified.

    Args:
        version: positive; a bundle of this version is replaced.
        parity: `float32` and `int8` to their differences from the SavedModel; empty for an architecture without TFLite,
            whose bundle only TensorFlow can run.
        checkpoint: `latest`, or `best` by the figures on the held-out fold.
        held_out_fold: None if the training saw all folds.
        trained_input_size: pixels, if the weights were trained at another size than the recipe's.
        sets: see `training.data.sampling.describe_sets`.
        replaces: names of the models that this one replaces.
        seen: the photos that the detector has seen, if they are known.
        origin: the weights that the training started from (`started_from`, see `Start.as_dict`) and the detector that
            found teeth without a label (`teeth_from`), if any.

    Raises:
        ParityError: the float32 TFLite model differs from the SavedModel by more than rounding.
    """
    if "float32" in parity and not parity["float32"].is_rounding:
        raise ParityError(f"the float32 TFLite model differs from the SavedModel: {parity['float32'].as_dict()}")
    measured_on = evidence.measured_on
    if checkpoint == "best":
        measured_on += ", except that its best checkpoint was chosen on them, so the figures are optimistic"
    boxes = {
        name: int(sum((photo.class_ids == class_id).sum() for photo in photos)) for name, class_id in CLASS_IDS.items()
    }
    points = {name: point.as_dict() for name, point in evidence.points.points.items()}
    start = origin.get("started_from")
    manifest: dict[str, Any] = {
        "model": {"name": recipe.model_name, "version": version},
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "classes": [{"id": class_id, "name": name} for name, class_id in CLASS_IDS.items()],
        "screened_class": SCREENED_CLASS,
        "input": {
            "height": recipe.input_size,
            "width": recipe.input_size,
            "channels": "RGB",
            "resize": "squeezed to the input size, bilinear with antialiasing",
            "tflite_range": [-1.0, 1.0],
        },
        "operating_point": {
            "name": DEFAULT_POINT,
            **{key: points[DEFAULT_POINT][key] for key in ("score_threshold", *BOX_FIGURES)},
            "max_boxes": DEFAULT_MAX_BOXES,
            "measured_on": f"{measured_on}; the figures are cross-fitted over two halves and count every box, "
            "including those beyond max_boxes",
        },
        "operating_points": points,
        "metrics": {"measured_on": measured_on, "models": evidence.evaluations},
        "parity": {name: item.as_dict() for name, item in parity.items()},
        "recipe": recipe.as_dict(),
        "data": {
            "credit": recipe.data_credit,
            "photos": len(photos),
            "training_photos": evidence.training_photos,
            "held_out_fold": held_out_fold,
            "rendered_training_photos": recipe.rendered_photos,
            "other_training_pictures": recipe.other_pictures,
            "boxes": boxes,
            "sets": list(sets),
        },
        "checkpoint": checkpoint,
        "pretrained_weights": start.get("pretrained_weights", "") if start else credit(recipe.pretrained),
        **origin,
        "tools": {name: importlib.metadata.version(name) for name in TOOLS},
    }
    if evidence.points.curve:
        manifest["curve"] = dict(evidence.points.curve)
    if replaces:
        manifest["replaces"] = list(replaces)
    if recipe.multi_scale:
        manifest["input"]["multi_scale"] = list(recipe.multi_scale)
    if evidence.calibration is not None:
        manifest["calibration"] = {"measured_on": measured_on, **evidence.calibration.as_dict()}
    if trained_input_size not in (None, recipe.input_size):
        manifest["trained_input_size"] = trained_input_size
    target = store / recipe.model_name / str(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{version}-", dir=target.parent) as temporary:
        bundle = Path(temporary) / "new"
        shutil.copytree(export / SAVED_MODEL, bundle)
        for precision in parity:
            shutil.copy(export / FILES[precision], bundle / FILES[precision])
        (bundle / LABEL_MAP).write_text(label_map_text(), encoding="utf-8")
        (bundle / CARD).write_text(model_card(manifest), encoding="utf-8")
        if seen is not None:
            seen.write(bundle / SEEN_PHOTOS)
        write_manifest(bundle, manifest)
        bundle.chmod(0o755)
        old = target.with_name(f".{version}-old")
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        bundle.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    return read_bundle(target)
