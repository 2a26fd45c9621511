"""A detector in any form on disk, found, loaded and measured: bundle, SavedModel, TFLite file or checkpoint."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from app.detector.bundle import MANIFEST, Bundle, read_bundle
from app.detector.operating_points import OperatingPoint
from app.detector.runtimes import Runtime
from app.detector.runtimes.litert import LiteRTRuntime
from app.detector.runtimes.tensorflow import TensorFlowRuntime
from app.screening import DEFAULT_MAX_BOXES
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.machine import this_machine
from training.measure.cross_fitting import cross_fit
from training.measure.metrics import RESAMPLES, SCREENED_CLASS
from training.measure.predictions import THREADS, DetectorError, load_exported, predict
from training.measure.report import CROSS_FITTED
from training.measure.sources import SourcesAssessment, assess_sources
from training.measure.verdicts import photo_qualities, photo_verdicts
from training.model.checkpoints import find_checkpoint, find_pipeline_config, load_checkpoint
from training.model.configure import input_size_of, parse_pipeline
from training.run_folder import RunFolder

DEFAULT_THRESHOLD = 0.5
"""Of a detector without an operating point."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector that was found, its bundle (or a substitute with names, classes and a threshold), and whether the
    threshold was measured and is not `DEFAULT_THRESHOLD`."""

    kind: str
    bundle: Bundle
    load: Callable[[], Runtime]
    has_operating_point: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.bundle.name} {self.bundle.version} (sha256 {self.bundle.sha256[:12]})"


def find_detector(path: Path, *, model: str = "float32", input_size: int | None = None) -> Detector:
    """The detector at a path.

    Args:
        path: the folder of a bundle, of a SavedModel, of checkpoints or of a run (its latest checkpoint); the prefix
            `ckpt-N` of a checkpoint; or a `.tflite` file. A checkpoint's `pipeline.config` is in its folder or one of
            the two above.
        model: which model of a bundle: `saved_model`, `float32` or `int8`.
        input_size: pixels of a SavedModel's input, if there is no `pipeline.config`.

    Raises:
        DetectorError: there is no detector; names what is missing.
        CheckpointError: there is no such checkpoint.
        BundleError: the bundle is damaged.
    """
    if (path / MANIFEST).is_file():
        bundle = read_bundle(path)
        size = bundle.input_height, bundle.input_width
        return Detector("bundle", bundle, lambda: load_exported(path, model, *size), has_operating_point=True)
    if (path / "saved_model.pb").is_file():
        return _saved_model(path, input_size)
    if path.suffix == ".tflite" and path.is_file():
        # The file states its input's size; only the warm-up reads the substitute's.
        return _without_bundle("tflite", path, path.stem, path, (96, 96), lambda: LiteRTRuntime(path, threads=THREADS))
    if (path / "pipeline.config").is_file() and (path / "checkpoints").is_dir():
        return _checkpoint(path / "checkpoints", path.name)
    if (path / "checkpoint").is_file() or Path(f"{path}.index").is_file():
        return _checkpoint(path, path.name if path.is_dir() else path.absolute().parent.name)
    raise DetectorError(
        f"{path} is not a detector: it has neither {MANIFEST} (a bundle), saved_model.pb (a SavedModel), checkpoint or "
        "ckpt-*.index (a checkpoint), nor is it a .tflite file"
    )


def assess_detector(
    detector: Detector,
    photos: list[AnnotatedPhoto],
    *,
    threshold: float | None = None,
    resamples: int = RESAMPLES,
) -> tuple[SourcesAssessment, str]:
    """Measure a detector on photos.

    Args:
        threshold: of the screened class; if None, the detector's operating point, or else `balanced` of these photos,
            cross-fitted along with a calibration.

    Returns:
        The assessment, and where calibration and threshold come from, empty if from the detector or the caller.
    """
    if threshold is None and detector.has_operating_point:
        threshold = detector.bundle.operating_point.score_threshold
    seen = predict(detector.load(), photos)
    if threshold is None:
        fitted = cross_fit(photos, seen)
        origin = f"Not calibrated: {fitted.not_calibrated}. The score threshold is cross-fitted on these same photos."
        return fitted.assess(resamples), CROSS_FITTED if fitted.calibration else origin
    scored = [detector.bundle.calibrated(item) for item in seen]
    verdicts = photo_verdicts(photos, seen, scored, photo_qualities(photos))
    return assess_sources(photos, scored, score_threshold=threshold, verdicts=verdicts, resamples=resamples), ""


def heading_of(
    detector: Detector, photos: Sequence[AnnotatedPhoto], fold: str, origin: str, *, was_trained_on: bool
) -> str:
    """The heading of `evaluation.md`.

    Args:
        fold: the photos' fold: a number, or `all`.
        origin: see `assess_detector`.
        was_trained_on: whether the detector's training saw this fold, see `training.measure.held_out`.
    """
    boxes = sum(len(photo.class_ids) for photo in photos)
    folds = "all folds" if fold == "all" else f"fold {fold}"
    lines = [f"# {detector}", "", f"{len(photos)} photos of {folds}, {boxes} boxes; {this_machine()}."]
    if fold == "all":
        lines.append("The detector may have been trained on some of these photos, so the figures may be optimistic.")
    elif was_trained_on:
        lines.append("If these photos are from its data, it was trained on them and the figures are optimistic.")
    return "\n".join([*lines, origin] if origin else lines)


def _saved_model(path: Path, input_size: int | None) -> Detector:
    config = find_pipeline_config(path)
    if input_size is not None:
        size = input_size, input_size
    elif config is not None:
        size = input_size_of(parse_pipeline(config.read_text(encoding="utf-8")))
    else:
        raise DetectorError(
            f"the input size of {path} is unknown: there is no pipeline.config in it or above; give --input-size"
        )
    hashed = path / "saved_model.pb"
    runtime = partial(TensorFlowRuntime, path, *size, threads=THREADS)
    return _without_bundle("saved_model", path, path.parent.name, hashed, size, runtime)


def _checkpoint(place: Path, name: str) -> Detector:
    config = find_pipeline_config(place)
    if config is None:
        raise DetectorError(f"there is no pipeline.config next to {place} or in the two folders above")
    size = input_size_of(parse_pipeline(config.read_text(encoding="utf-8")))
    checkpoint = find_checkpoint(place)

    def load() -> Runtime:
        run = RunFolder(config.parent)
        multi_scale = run.configured()[0].multi_scale if run.state.exists() else ()
        return load_checkpoint(config, checkpoint, multi_scale=multi_scale)

    index = checkpoint.with_name(f"{checkpoint.name}.index")
    return _without_bundle("checkpoint", place, f"{name}-{checkpoint.name}", index, size, load)


def _without_bundle(
    kind: str, path: Path, name: str, hashed: Path, size: tuple[int, int], load: Callable[[], Runtime]
) -> Detector:
    """A detector that is not a bundle, identified by the sha256 of one of its files."""
    with hashed.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    bundle = Bundle(
        path=path,
        name=name,
        version=1,
        sha256=sha256,
        class_names=MappingProxyType({class_id: class_name for class_name, class_id in CLASS_IDS.items()}),
        screened_class_id=CLASS_IDS[SCREENED_CLASS],
        input_height=size[0],
        input_width=size[1],
        operating_point=OperatingPoint(DEFAULT_THRESHOLD, DEFAULT_MAX_BOXES, None, None, "not measured"),
        calibration=None,
        manifest=MappingProxyType({}),
    )
    return Detector(kind, bundle, load, has_operating_point=False)
