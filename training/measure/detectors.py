"""A detector in whichever form it lies on disk, ready to run: bundle, SavedModel, TFLite file, checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL, MANIFEST, Bundle, OperatingPoint, read_bundle
from app.detector.runtimes import Runtime
from app.screening import DEFAULT_MAX_BOXES
from training.data.annotations import CLASS_IDS
from training.errors import TrainingError
from training.measure.evaluate import SCREENED_CLASS
from training.model.configure import input_size_of, parse_pipeline
from training.run_folder import RunFolder

THREADS = 2
"""CPU threads for one inference."""

DEFAULT_THRESHOLD = 0.5
"""Of a detector that has no operating point of its own."""


class DetectorError(TrainingError):
    """The path holds no detector that can be run."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector that was found.

    Attributes:
        kind: `bundle`, `saved_model`, `tflite` or `checkpoint`.
        bundle: the bundle, or what stands for one: names, classes and a threshold.
        load: makes the runtime.
        has_operating_point: whether the threshold was measured, rather than being `DEFAULT_THRESHOLD`.
    """

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
            `ckpt-N` of a checkpoint; or a `.tflite` file. The configuration of a checkpoint, `pipeline.config`, is
            looked for in its folder and the two above.
        model: which model of a bundle: `saved_model`, `float32` or `int8`.
        input_size: pixels of a SavedModel's input, where no `pipeline.config` or `bundle.json` tells.

    Raises:
        DetectorError: there is nothing of the kind, and what was looked for.
        BundleError: the bundle is damaged.
    """
    if (path / MANIFEST).is_file():
        return _of_bundle(read_bundle(path), model)
    if (path / "saved_model.pb").is_file():
        return _of_saved_model(path, input_size)
    if path.suffix == ".tflite" and path.is_file():
        return _of_tflite(path)
    if (path / "pipeline.config").is_file() and (path / "checkpoints").is_dir():
        return _of_checkpoint(path / "checkpoints", path.name)
    if (path / "checkpoint").is_file() or Path(f"{path}.index").is_file():
        return _of_checkpoint(path, path.name)
    raise DetectorError(
        f"{path} holds no detector: neither {MANIFEST} (a bundle), saved_model.pb (a SavedModel), checkpoint or "
        "ckpt-*.index (a checkpoint) nor a .tflite file"
    )


def _of_bundle(bundle: Bundle, model: str) -> Detector:
    def load() -> Runtime:
        if model == "saved_model":
            from app.detector.runtimes.tensorflow import TensorFlowRuntime

            return TensorFlowRuntime(bundle.path, bundle.input_height, bundle.input_width, threads=THREADS)
        from app.detector.runtimes.litert import LiteRTRuntime

        file = bundle.path / {"float32": FLOAT32_MODEL, "int8": INT8_MODEL}[model]
        if not file.exists():
            raise DetectorError(f"{bundle.path} holds no {file.name}: choose saved_model")
        return LiteRTRuntime(file, threads=THREADS)

    return Detector("bundle", bundle, load, has_operating_point=True)


def _of_saved_model(path: Path, input_size: int | None) -> Detector:
    config = _find_config(path)
    if input_size is None and config is None:
        raise DetectorError(
            f"the input size of {path} is not known: no pipeline.config in it or above; give --input-size"
        )
    size = (input_size, input_size) if input_size else input_size_of(parse_pipeline(config.read_text("utf-8")))  # type: ignore[union-attr]

    def load() -> Runtime:
        from app.detector.runtimes.tensorflow import TensorFlowRuntime

        return TensorFlowRuntime(path, *size, threads=THREADS)

    return _stand_in("saved_model", path, path.parent.name, _sha256(path / "saved_model.pb"), size, load)


def _of_tflite(path: Path) -> Detector:
    def load() -> Runtime:
        from app.detector.runtimes.litert import LiteRTRuntime

        return LiteRTRuntime(path, threads=THREADS)

    # The file itself knows its input's size; nothing reads the stand-in's but the warm-up.
    return _stand_in("tflite", path, path.stem, _sha256(path), (96, 96), load)


def _of_checkpoint(checkpoint: Path, name: str) -> Detector:
    config = _find_config(checkpoint)
    if config is None:
        raise DetectorError(f"no pipeline.config beside {checkpoint} or in the two folders above")
    size = input_size_of(parse_pipeline(config.read_text(encoding="utf-8")))

    def load() -> Runtime:
        from training.model.model_runtime import load_checkpoint

        run = RunFolder(config.parent)
        multi_scale = run.configured()[0].multi_scale if run.state.exists() else ()
        return load_checkpoint(config, checkpoint, multi_scale=multi_scale)

    index = _index_of(checkpoint)
    return _stand_in("checkpoint", checkpoint, f"{name}-{index.stem}", _sha256(index), size, load)


def _index_of(checkpoint: Path) -> Path:
    import training.compat  # noqa: F401  isort: skip
    import tensorflow as tf

    prefix = tf.train.latest_checkpoint(str(checkpoint)) if checkpoint.is_dir() else str(checkpoint)
    index = Path(f"{prefix}.index")
    if prefix is None or not index.is_file():
        raise DetectorError(f"{checkpoint} holds no checkpoint")
    return index


def _find_config(path: Path) -> Path | None:
    """`pipeline.config` in a folder, or beside a checkpoint's prefix, or in the two folders above."""
    folders = [*([path.resolve()] if path.is_dir() else []), *path.resolve().parents][:3]
    return next((folder / "pipeline.config" for folder in folders if (folder / "pipeline.config").is_file()), None)


def _stand_in(
    kind: str, path: Path, name: str, sha256: str, size: tuple[int, int], load: Callable[[], Runtime]
) -> Detector:
    """What is no bundle, with what a bundle would say of it."""
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
