"""Run a detector over annotated photos, and keep its detections in a file."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL
from app.detector.detections import Detections
from app.detector.runtimes import Runtime
from app.detector.runtimes.litert import LiteRTRuntime
from app.detector.runtimes.tensorflow import TensorFlowRuntime
from app.photo.decoding import decode
from training.data.annotations import AnnotatedPhoto
from training.errors import TrainingError
from training.output import write_file

MODELS = ("saved_model", "float32", "int8")
THREADS = 2
"""CPU threads of one inference."""


class DetectorError(TrainingError):
    """The path has no detector that can be run."""


def load_exported(folder: Path, model: str, height: int, width: int) -> LiteRTRuntime | TensorFlowRuntime:
    """The runtime of one of `MODELS` in the export folder of a run or in a bundle; height and width are pixels of the
    SavedModel's input, since a TFLite file states its own. Raises DetectorError: there is no such TFLite file."""
    if model == "saved_model":
        inside = folder / "saved_model"
        return TensorFlowRuntime(inside if inside.is_dir() else folder, height, width, threads=THREADS)
    file = folder / {"float32": FLOAT32_MODEL, "int8": INT8_MODEL}[model]
    if not file.exists():
        raise DetectorError(f"{folder} has no {file.name}: choose saved_model")
    return LiteRTRuntime(file, threads=THREADS)


def predict(runtime: Runtime, photos: Sequence[AnnotatedPhoto], *, name: str = "predict") -> list[Detections]:
    """Every detection on each photo, with a progress bar."""
    return [
        runtime.detect(decode(photo.path.read_bytes()).pixels)
        for photo in tqdm(photos, desc=name, unit="photo", leave=False)
    ]


def predict_by_size(
    runtime: LiteRTRuntime | TensorFlowRuntime, photos: Sequence[AnnotatedPhoto], *, name: str
) -> list[Detections]:
    """Every detection on each photo at each of the model's input sizes, one after the other, not fused."""
    return [
        found
        for photo in tqdm(photos, desc=name, unit="photo", leave=False)
        for found in runtime.detect_by_size(decode(photo.path.read_bytes()).pixels)
    ]


def save_predictions(predictions: Mapping[str, Detections], path: Path) -> None:
    """Write the detections by the photo's file name to an `.npz` file."""
    found = list(predictions.values())
    content = io.BytesIO()
    np.savez_compressed(
        content,
        photos=np.array(list(predictions)),
        counts=np.array([len(item) for item in found], np.int64),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *(item.boxes for item in found)]),
        scores=np.concatenate([np.zeros(0, np.float32), *(item.scores for item in found)]),
        class_ids=np.concatenate([np.zeros(0, np.int32), *(item.class_ids for item in found)]),
    )
    write_file(path, content.getvalue())


def load_predictions(path: Path) -> dict[str, Detections]:
    """The detections that `save_predictions` wrote."""
    with np.load(path) as file:
        ends = np.cumsum(file["counts"])
        boxes, scores, class_ids = file["boxes"], file["scores"], file["class_ids"]
        return {
            str(name): Detections(boxes[start:end], scores[start:end], class_ids[start:end])
            for name, start, end in zip(file["photos"], ends - file["counts"], ends, strict=True)
        }
