"""What a detector's training saw, from its run or its bundle: which folds, and which photos."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from app.detector.bundle import MANIFEST, Bundle, read_bundle
from app.errors import CariesError
from training.data.annotations import AnnotatedPhoto, AnnotationError
from training.data.seen_photos import SEEN_PHOTOS, SeenPhotos, seen_by_training
from training.errors import TrainingError
from training.measure.detectors import find_detector
from training.model.pretrained.start import find_start
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


def seen_photos(detector: Path) -> SeenPhotos:
    """The photos that a detector has seen: those that its bundle lists, or else those of the run that contains it."""
    is_bundle = (detector / MANIFEST).is_file()
    if is_bundle and (detector / SEEN_PHOTOS).is_file():
        return SeenPhotos.read(detector / SEEN_PHOTOS)
    bundle = read_bundle(detector, verify=False) if is_bundle else None
    name = f"{bundle.name} {bundle.version}" if bundle else detector.name
    run = RunFolder.trained(detector)
    if run is None:
        return SeenPhotos([], [name])
    try:
        return seen_by_run(RunFolder.part(run.path))
    except (RunError, AnnotationError):
        return SeenPhotos([], [name])


def seen_by_run(
    run: RunFolder, *, calibrated: Sequence[AnnotatedPhoto] | None = None, earlier: Sequence[Path] = ()
) -> SeenPhotos:
    """The photos that a run's training has seen, with those of the detectors that it came from.

    Args:
        calibrated: photos that the detector was calibrated on; by default those of the held-out fold.
        earlier: where detectors are now that the run came from, if not where they were.

    Raises:
        RunError, AnnotationError: see `RunFolder.photos`.
    """
    held_out = run.photos_of_fold(run.configured()[1]) if calibrated is None else calibrated
    seen = seen_by_training(run.training_photos(), held_out)
    if run.weights_of.exists():
        seen = seen.joined(seen_photos(Path(run.weights_of.read_text(encoding="utf-8").strip())), is_earlier=False)
    for detector, place in run.origins():
        places = [*earlier, *([place] if place else [])]
        found = next((one for one in places if detector["sha256"] in _digests(one)), None)
        unknown = SeenPhotos([], [f"{detector['name']} (sha256 {detector['sha256'][:12]})"])
        seen = seen.joined(seen_photos(found) if found else unknown, is_earlier=True)
    return seen


def _digests(detector: Path) -> set[str]:
    """The SHA-256 by which a training names the detector that it started from, or that found its teeth."""
    digests = set()
    with contextlib.suppress(TrainingError, CariesError):
        digests.add(find_start(detector).sha256)
    with contextlib.suppress(TrainingError, CariesError):
        digests.add(find_detector(detector).bundle.sha256)
    return digests


def _bundle_saw_fold(bundle: Bundle, fold: int) -> bool:
    # Older bundles state only whether the training saw all photos.
    data = bundle.manifest.get("data", {})
    return bool(data["held_out_fold"] != fold) if "held_out_fold" in data else _saw_all(bundle)


def _saw_all(bundle: Bundle) -> bool:
    data = bundle.manifest.get("data", {})
    return "photos" in data and data["photos"] == data["training_photos"]
