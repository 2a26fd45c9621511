"""The JSON answers, as OpenAPI describes them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.detector.operating_points import Curve, OperatingPoint
from app.detector.precision import PrecisionChoice
from app.photo.quality import Reason
from app.screening import Verdict

EXAMPLE: dict[str, Any] = {
    "model": {"name": "caries-ssd-mobilenet-v2-fpnlite-320", "version": 5, "sha256": "9f2c" + 60 * "0"},
    "image": {"width": 1024, "height": 703, "sha256": "41ab" + 60 * "0"},
    "verdict": "caries_suspected",
    "reasons": [],
    "teeth_seen": 14,
    "detections": [
        {
            "class": "caries",
            "class_id": 2,
            "score": 0.91,
            "box": {"xmin": 189.9, "ymin": 328.5, "xmax": 243.2, "ymax": 421.9},
        }
    ],
    "hidden_by_max_boxes": 0,
    "operating_point": {
        "name": "balanced",
        "score_threshold": 0.42,
        "max_boxes": 5,
        "sensitivity": 0.8,
        "false_positives_per_image": 1.1,
    },
    "timings_ms": {"decode": 3.1, "queue": 0.1, "inference": 11.0, "draw": 0.0, "encode": 0.0},
}


class ModelIdentity(BaseModel):
    """The detector that answered."""

    name: str
    version: int
    sha256: str = Field(description="Of the bundle's manifest, which lists the SHA-256 of every model file.")


class ImageIdentity(BaseModel):
    """The photo, upright."""

    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    sha256: str = Field(description="Of the bytes as sent.")


class Box(BaseModel):
    """Pixels of the upright photo, from its top left corner."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


class Detection(BaseModel):
    """One box."""

    model_config = ConfigDict(populate_by_name=True)

    class_name: str = Field(alias="class")
    class_id: int
    score: float = Field(ge=0, le=1)
    box: Box


class AppliedOperatingPoint(BaseModel):
    """Threshold and box limit as applied, and the accuracy measured there."""

    name: str | None = Field(description="Null if the model names none, or the request gave a threshold.")
    score_threshold: float
    max_boxes: int
    sensitivity: float | None = Field(description="Null at another threshold than the operating point's.")
    false_positives_per_image: float | None = Field(description="Null at another threshold than the operating point's.")


class Timings(BaseModel):
    """Milliseconds by stage; drawing and encoding are 0 without a picture."""

    decode: float
    queue: float
    inference: float
    draw: float
    encode: float


class DetectionColumns(BaseModel):
    """Detections, highest score first."""

    boxes: list[tuple[float, float, float, float]] = Field(
        description="ymin, xmin, ymax, xmax as fractions of the photo's height and width."
    )
    scores: list[float]
    class_ids: list[int]


class EvidenceAnswer(BaseModel):
    """What the verdict is decided by at any threshold. All numbers are float32."""

    screened_class_id: int = Field(description="The class that the verdict is about.")
    reasons: list[Reason] = Field(description="Why the photo is not assessable, before teeth are counted.")
    detections: DetectionColumns = Field(description="All classes and scores, calibrated.")
    seen: DetectionColumns = Field(description="Before calibration, those that count as teeth.")


class ScreeningAnswer(BaseModel):
    """The answer of `POST /detect` as JSON."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    model: ModelIdentity
    image: ImageIdentity
    verdict: Verdict
    reasons: list[Reason] = Field(description="Why the photo is not assessable.")
    teeth_seen: int = Field(description="Teeth of any class.")
    detections: list[Detection] = Field(description="Highest score first.")
    hidden_by_max_boxes: int = Field(description="Further boxes that the box limit hides.")
    operating_point: AppliedOperatingPoint
    timings_ms: Timings
    evidence: EvidenceAnswer | None = Field(None, description="Only with evidence=true.")


class ComparedModel(BaseModel):
    """A bundle, and the threshold that it was compared at."""

    name: str
    version: int
    sha256: str
    score_threshold: float


class ComparedFigure(BaseModel):
    """A figure of both bundles, and the difference, new less old; null where the photos cannot give it."""

    old: float | None
    new: float | None
    difference: float | None
    interval: tuple[float, float] | None = Field(description="95 % interval of the difference.")


class Comparison(BaseModel):
    """A bundle compared with the one before it, on photos that neither had seen, as `training install` keeps it."""

    created: str
    old: ComparedModel
    new: ComparedModel
    is_better: bool
    reason: str
    photos: dict[str, int] = Field(description="Number of photos by source.")
    left_out: dict[str, int] = Field(description="Number of photos that one of them had seen, by their use.")
    unlisted: list[str] = Field(description="Detectors that were trusted not to have seen the photos.")
    figures: dict[str, dict[str, ComparedFigure]] = Field(description="By source, and as their mean.")


class ModelEntry(BaseModel):
    """One bundle of the store."""

    name: str
    version: int
    live: bool = Field(description="Whether it answers requests.")
    default: bool = Field(description="Whether it answers requests that name no model.")
    usable: bool = Field(
        description="Whether its manifest can be read; its other files are verified when it is loaded."
    )
    sha256: str | None
    runtime: str | None = Field(description="Runtime of a live model: litert or tensorflow.")
    device: str | None = Field(description="Device of a live model: cpu, or gpu with the GPU's name.")
    precision: PrecisionChoice | None = Field(description="Precision of a live model, and why it runs.")
    classes: dict[int, str]
    operating_point: OperatingPoint | None = Field(description="The default: its threshold, and the figures there.")
    operating_points: dict[str, OperatingPoint] = Field(description="By the name that /detect?operating_point= takes.")
    curve: str | None = Field(description="Path of the figures at every threshold, if the model has them.")
    card: str = Field(description="Path of the model card.")
    comparison: Comparison | None = Field(description="With the bundle before it, if they were compared.")


class CurveAnswer(BaseModel):
    """The figures of one bundle over all thresholds."""

    name: str
    version: int
    curve: Curve | None = Field(description="Null if the model has none.")


class ModelList(BaseModel):
    """The models of the store."""

    models: list[ModelEntry]
    refused: list[Comparison] = Field(description="Comparisons of bundles that were not installed.")


class LiveAnswer(BaseModel):
    """The answer of `POST /models/reload`."""

    reloaded: list[ModelIdentity] = Field(description="Models that were started; empty if all were live already.")
    live: list[ModelIdentity] = Field(description="Live models, the default one first.")


class Health(BaseModel):
    """A passed health check."""

    status: str


class ProblemAnswer(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/unsupported-photo",
                    "title": "The picture format is not accepted",
                    "status": 415,
                    "detail": "GIF files are not accepted; send JPEG, PNG, WebP, HEIC or DICOM",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str


class InferenceError(BaseModel):
    """An error of the Open Inference Protocol."""

    error: str


class BatchScreening(ScreeningAnswer):
    """A screened photo of a batch: the answer of `POST /detect` with its index."""

    index: int = Field(ge=1, description="The photo's position in the batch, from 1.")
    frame: int | None = Field(None, ge=1, description="Only for a DICOM file with several frames, each a photo.")


class BatchProblem(BaseModel):
    """A photo of a batch that could not be screened."""

    index: int = Field(ge=1, description="The photo's position in the batch, from 1.")
    frame: int | None = Field(None, ge=1, description="Only for a DICOM file with several frames, each a photo.")
    problem: ProblemAnswer


class BatchAnswer(BaseModel):
    """The answer of `POST /detect/batch` as JSON."""

    results: list[BatchScreening | BatchProblem] = Field(description="In the order of the photos in the request.")


def problem_responses(texts: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses: statuses with their descriptions, answered as problem+json."""
    schema = ProblemAnswer.model_json_schema()
    return {
        status: {"description": text, "content": {"application/problem+json": {"schema": schema}}}
        for status, text in texts.items()
    }


def inference_error_responses(texts: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses: statuses with their descriptions, answered as errors of the Open Inference Protocol."""
    schema = InferenceError.model_json_schema()
    return {
        status: {"description": text, "content": {"application/json": {"schema": schema}}}
        for status, text in texts.items()
    }


def body_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a body that a route reads itself, without references."""
    schema = kind.model_json_schema()
    parts = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolved(parts[value["$ref"].rpartition("/")[2]])
        return {name: resolved(entry) for name, entry in value.items()}

    result: dict[str, Any] = resolved(schema)
    return result
