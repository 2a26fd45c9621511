"""Requests and answers of the Open Inference Protocol, version 2, with its binary tensor extension.

A request is JSON, followed by its input tensor if the header `HEADER_LENGTH` says where the JSON ends; otherwise the
photo is in the JSON, as base64. In a binary tensor, each element of BYTES follows its length as a little-endian uint32.
Outputs are those of `OUTPUTS`, in JSON or binary as the request asks.
"""

import asyncio
import base64
import binascii
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from app.api.body import read_raw, refuse_compressed, validated
from app.api.parameters import integer
from app.api.problems import quoted
from app.api.sent_photo import SentPhoto
from app.errors import InvalidParameter, PhotoTooLarge
from app.screen_photo import Options, ScreenedPhoto
from app.screening import MAX_BOXES_BOUNDS, THRESHOLD_BOUNDS, ClassSelection
from app.settings import Settings

HEADER_LENGTH = "Inference-Header-Content-Length"
INPUT = "photo"
MAX_JSON_BYTES = 64 * 2**10
"""Of a request's JSON without the photo."""

MAX_JSON_VALUES = 1000
"""Of a request. Parsing takes up to 100 bytes of memory for a value of 2 bytes; base64 counts as one value."""

ELEMENT = struct.Struct("<I")
"""The length of an element of BYTES."""


class Datatype(StrEnum):
    """The protocol's types of elements that are used here."""

    BYTES = "BYTES"
    FP32 = "FP32"
    INT32 = "INT32"


@dataclass(frozen=True, slots=True)
class Output:
    """An output tensor.

    Attributes:
        shape: -1 stands for any number.
        values: its elements in row-major order, from the JSON answer of `POST /detect`.
    """

    datatype: Datatype
    shape: tuple[int, ...]
    values: Callable[[Mapping[str, Any]], list[Any]]


class OutputName(StrEnum):
    """The output tensors."""

    BOXES = "boxes"
    SCORES = "scores"
    CLASSES = "classes"
    VERDICT = "verdict"
    REASONS = "reasons"
    TEETH_SEEN = "teeth_seen"
    HIDDEN_BY_MAX_BOXES = "hidden_by_max_boxes"
    IMAGE_SIZE = "image_size"


def _corners(answer: Mapping[str, Any]) -> list[float]:
    names = ("xmin", "ymin", "xmax", "ymax")
    return [detection["box"][name] for detection in answer["detections"] for name in names]


OUTPUTS: Mapping[OutputName, Output] = {
    OutputName.BOXES: Output(Datatype.FP32, (-1, 4), _corners),
    OutputName.SCORES: Output(Datatype.FP32, (-1,), lambda answer: [one["score"] for one in answer["detections"]]),
    OutputName.CLASSES: Output(Datatype.BYTES, (-1,), lambda answer: [one["class"] for one in answer["detections"]]),
    OutputName.VERDICT: Output(Datatype.BYTES, (1,), lambda answer: [answer["verdict"]]),
    OutputName.REASONS: Output(Datatype.BYTES, (-1,), lambda answer: answer["reasons"]),
    OutputName.TEETH_SEEN: Output(Datatype.INT32, (1,), lambda answer: [answer["teeth_seen"]]),
    OutputName.HIDDEN_BY_MAX_BOXES: Output(Datatype.INT32, (1,), lambda answer: [answer["hidden_by_max_boxes"]]),
    OutputName.IMAGE_SIZE: Output(
        Datatype.INT32, (2,), lambda answer: [answer["image"]["width"], answer["image"]["height"]]
    ),
}
"""In the order of an answer. Boxes are xmin, ymin, xmax, ymax in pixels of the upright photo, highest score first."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class InferParameters(_Strict):
    """The parameters of a request, which mean the same as those of `POST /detect`."""

    operating_point: str | None = None
    threshold: float | None = Field(
        default=None, ge=THRESHOLD_BOUNDS.low, le=THRESHOLD_BOUNDS.high, allow_inf_nan=False
    )
    max_boxes: Annotated[int | None, BeforeValidator(integer)] = Field(
        default=None, ge=MAX_BOXES_BOUNDS.low, le=MAX_BOXES_BOUNDS.high
    )
    classes: ClassSelection = ClassSelection.CARIES
    binary_data_output: bool = Field(default=False, description="Outputs are binary, unless one says otherwise.")


class InputParameters(_Strict):
    """The parameters of the input tensor."""

    binary_data_size: int | None = Field(default=None, ge=0, description="Bytes after the JSON.")
    content_type: Literal["base64"] | None = Field(default=None, description="What `data` is; it may be omitted.")


class InputTensor(_Strict):
    """The photo: one element of BYTES with an encoded JPEG, PNG, WebP or HEIC."""

    name: Literal["photo"]
    shape: list[int] = Field(description="[1], or further dimensions of 1.", min_length=1, max_length=8)
    datatype: Literal["BYTES"]
    parameters: InputParameters = InputParameters()
    data: Annotated[list[str | Annotated[list[str], Field(max_length=1)]], Field(max_length=1)] | None = Field(
        default=None, description="The photo as base64, unless it is binary."
    )


class OutputParameters(_Strict):
    """The parameters of a requested output."""

    binary_data: bool | None = None


class RequestedOutput(_Strict):
    """An output tensor that the client wants."""

    name: OutputName
    parameters: OutputParameters = OutputParameters()


class InferRequest(_Strict):
    """A request for the answer to one photo."""

    id: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="Repeated in the answer."
    )
    parameters: InferParameters = InferParameters()
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] = Field(default=[], max_length=len(OUTPUTS), description="All of them if empty.")
    model_name: str | None = Field(default=None, description="Sent by KServe's client; the path decides.")

    @field_validator("outputs")
    @classmethod
    def _no_repeats(cls, outputs: list[RequestedOutput]) -> list[RequestedOutput]:
        if len({output.name for output in outputs}) < len(outputs):
            raise ValueError("an output is requested twice")
        return outputs

    def options(self) -> Options:
        """The options of the photo."""
        asked = self.parameters
        return Options(
            operating_point=asked.operating_point,
            threshold=asked.threshold,
            max_boxes=asked.max_boxes,
            classes=asked.classes,
        )


class TensorMetadata(BaseModel):
    """An input or output tensor."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1 stands for any number.")


class ModelMetadata(BaseModel):
    """A live model."""

    name: str
    versions: list[str]
    platform: str = Field(description="The runtime: litert or tensorflow.")
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class OutputTensor(BaseModel):
    """An output tensor of an answer."""

    name: OutputName
    datatype: Datatype
    shape: list[int]
    parameters: dict[str, int] | None = Field(
        default=None, description="`binary_data_size`, if the data follows the JSON."
    )
    data: list[float] | list[int] | list[str] | None = None


class InferAnswer(BaseModel):
    """The JSON of an answer."""

    id: str | None = None
    model_name: str
    model_version: str
    parameters: dict[str, str | float | int] = Field(
        description="`model_sha256`, `image_sha256`, `operating_point` if it has a name, `score_threshold`, "
        "`max_boxes`, and the milliseconds of each stage, such as `decode_ms`."
    )
    outputs: list[OutputTensor]


def model_metadata(name: str, version: int, platform: str) -> ModelMetadata:
    """The metadata of a live model."""
    outputs = [
        TensorMetadata(name=name, datatype=output.datatype, shape=list(output.shape))
        for name, output in OUTPUTS.items()
    ]
    photo = TensorMetadata(name=INPUT, datatype=Datatype.BYTES, shape=[1])
    return ModelMetadata(name=name, versions=[str(version)], platform=platform, inputs=[photo], outputs=outputs)


async def read_infer_request(request: Request, settings: Settings) -> tuple[InferRequest, SentPhoto]:
    """The request with its photo.

    Raises:
        InvalidParameter: it does not follow the protocol, or a parameter is unknown or out of range.
        PhotoTooLarge: the photo has too many bytes.
        UnsupportedMediaType: the body is compressed.
        UploadTooSlow: the body did not arrive in time.
    """
    refuse_compressed(request)
    json_bytes = _json_bytes(request.headers.get(HEADER_LENGTH))
    max_photo = settings.max_bytes
    # Base64 takes four bytes for three.
    room = max_photo + ELEMENT.size if json_bytes is not None else 4 * (max_photo + 2) // 3
    body = await read_raw(request, max_bytes=room + MAX_JSON_BYTES, upload_s=settings.upload_s, too_large=PhotoTooLarge)
    if json_bytes is None:
        # In a thread, since parsing a large photo takes long.
        asked, photo = await asyncio.to_thread(_parse_json, body)
    else:
        asked, photo = _parse_binary(body, json_bytes)
    if len(photo) > max_photo:
        raise PhotoTooLarge(f"the photo has {len(photo)} bytes; at most {max_photo} are accepted")
    return asked, SentPhoto(photo, asked.options())


def _json_bytes(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= MAX_JSON_BYTES):
        raise InvalidParameter(
            f"{HEADER_LENGTH} is {quoted(text)}; it must be the bytes of the JSON, at most {MAX_JSON_BYTES}"
        )
    return int(text)


def _parse_json(body: bytes) -> tuple[InferRequest, bytes]:
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_VALUES:
        raise InvalidParameter(f"the JSON has more than {MAX_JSON_VALUES} values; send one photo, as base64")
    asked = validated(InferRequest, body)
    tensor = _checked(asked)
    if tensor.parameters.binary_data_size is not None:
        raise InvalidParameter(f"binary_data_size needs the header {HEADER_LENGTH}")
    data: Sequence[str | list[str]] = tensor.data or []
    elements = [text for entry in data for text in (entry if isinstance(entry, list) else [entry])]
    if len(elements) != 1:
        raise InvalidParameter(f"data has {len(elements)} elements; send one photo, as base64")
    try:
        return asked, base64.b64decode(elements[0].encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidParameter("data is not base64; encode the photo, or send it as a binary tensor") from None


def _parse_binary(body: bytes, json_bytes: int) -> tuple[InferRequest, bytes]:
    asked = validated(InferRequest, body[:json_bytes])
    tensor, size = _checked(asked), len(body) - json_bytes
    if tensor.data is not None:
        raise InvalidParameter("data is given although a binary tensor follows the JSON; send one of them")
    if tensor.parameters.binary_data_size != size:
        announced = tensor.parameters.binary_data_size
        raise InvalidParameter(f"binary_data_size is {announced}, but {max(size, 0)} bytes follow the JSON")
    if size < ELEMENT.size or ELEMENT.unpack_from(body, json_bytes)[0] != size - ELEMENT.size:
        raise InvalidParameter("the binary tensor is not one element: 4 bytes with the photo's length, then the photo")
    return asked, body[json_bytes + ELEMENT.size :]


def _checked(asked: InferRequest) -> InputTensor:
    tensor = asked.inputs[0]
    if any(size != 1 for size in tensor.shape):
        raise InvalidParameter(f"inputs.0.shape is {quoted(tensor.shape)}; send one photo, of shape [1]")
    return tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer's body and its headers."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


def encode_answer(asked: InferRequest, screened: ScreenedPhoto) -> Encoded:
    """The answer to a request."""
    answer, default = screened.as_dict(), asked.parameters.binary_data_output
    wanted = asked.outputs or [RequestedOutput(name=name) for name in OUTPUTS]
    outputs, tensors = [], []
    for output in wanted:
        values, chosen = OUTPUTS[output.name].values(answer), OUTPUTS[output.name]
        width = chosen.shape[1] if len(chosen.shape) > 1 else 1
        content: dict[str, Any] = {
            "name": output.name,
            "datatype": chosen.datatype,
            "shape": [len(values) // width, *chosen.shape[1:]],
        }
        if default if output.parameters.binary_data is None else output.parameters.binary_data:
            tensors.append(_tensor(chosen.datatype, values))
            content["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            content["data"] = values
        outputs.append(content)
    point = answer["operating_point"]
    content = {
        **({} if asked.id is None else {"id": asked.id}),
        "model_name": screened.bundle.name,
        "model_version": str(screened.bundle.version),
        "parameters": {
            "model_sha256": answer["model"]["sha256"],
            "image_sha256": screened.sha256,
            **({} if point["name"] is None else {"operating_point": point["name"]}),
            "score_threshold": point["score_threshold"],
            "max_boxes": point["max_boxes"],
            **{f"{stage}_ms": milliseconds for stage, milliseconds in answer["timings_ms"].items()},
        },
        "outputs": outputs,
    }
    head = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    if not tensors:
        return Encoded(head)
    return Encoded(b"".join((head, *tensors)), {HEADER_LENGTH: str(len(head))}, "application/octet-stream")


def _tensor(datatype: Datatype, values: list[Any]) -> bytes:
    if datatype is Datatype.BYTES:
        elements = [text.encode() for text in values]
        return b"".join(ELEMENT.pack(len(element)) + element for element in elements)
    return struct.pack(f"<{len(values)}{'f' if datatype is Datatype.FP32 else 'i'}", *values)
