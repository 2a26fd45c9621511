"""Which fold a detector's training held out, from its run or its bundle."""

from pathlib import Path

from app.detector.bundle import Bundle
from training.run_folder import RunError, RunFolder


def saw_fold(model: Path, bundle: Bundle, fold: int) -> bool:
    """Whether the training of a detector (a run, or a checkpoint, export or bundle in the folder of one) saw this fold
    of its data, as far as the run or the bundle states it."""
    folder = RunFolder.trained(model)
    return _bundle_saw_fold(bundle, fold) if folder is None else folder.configured()[1] != fold


def check_held_out(bundle: Bundle, fold: int) -> None:
    """Raise RunError if the bundle states that its training saw this fold."""
    data = bundle.manifest.get("data", {})
    if _saw_all(bundle):
        raise RunError(
            f"{bundle.path} was trained on all {data['photos']} photos, including fold {fold}, so none is left to "
            "measure it on: package it from its run, with a cross-validation"
        )
    if _bundle_saw_fold(bundle, fold):
        raise RunError(f"{bundle.path} was trained on fold {fold}: its training held out fold {data['held_out_fold']}")


def _bundle_saw_fold(bundle: Bundle, fold: int) -> bool:
    # Older bundles state only whether the training saw all photos.
    data = bundle.manifest.get("data", {})
    return bool(data["held_out_fold"] != fold) if "held_out_fold" in data else _saw_all(bundle)


def _saw_all(bundle: Bundle) -> bool:
    data = bundle.manifest.get("data", {})
    return "photos" in data and data["photos"] == data["training_photos"]
