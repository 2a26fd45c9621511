"""The tensors of requests and answers."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from app.api.open_inference import (
    ELEMENT,
    MAX_JSON_VALUES,
    OUTPUTS,
    InferParameters,
    InferRequest,
    OutputName,
    model_metadata,
)
from app.screening import ClassSelection
from tests.app.api.live_server import MODEL, Live
from tests.app.api.v2_requests import infer_json


def test_every_output_has_a_type_and_a_shape() -> None:
    assert list(OUTPUTS) == list(OutputName)
    metadata = model_metadata("m", 3, "litert").model_dump(mode="json")
    assert metadata["versions"] == ["3"]
    assert metadata["inputs"] == [{"name": "photo", "datatype": "BYTES", "shape": [1]}]
    assert metadata["outputs"][0] == {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]}


def test_an_element_has_a_little_endian_length() -> None:
    assert ELEMENT.pack(258) == b"\x02\x01\x00\x00" == np.array(258, "<u4").tobytes() == struct.pack("<I", 258)


@pytest.mark.parametrize("sent", [5, 5.0])
def test_numbers_are_those_of_json(sent: float) -> None:
    read = InferParameters.model_validate_json(json.dumps({"max_boxes": sent, "threshold": 1, "classes": "all"}))
    assert (read.max_boxes, read.threshold, read.classes) == (5, 1.0, ClassSelection.ALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": [{"name": name} for name in [*OutputName, "boxes"]]}, "at most 8 items"),
        ({"outputs": [{"name": "boxes"}, {"name": "boxes"}]}, "an output is requested twice"),
        ({"input_data": ["QQ==", "QQ=="]}, "at most 1 item"),
        ({"input_data": [["QQ==", "QQ=="]]}, "at most 1 item"),
    ],
)
def test_lists_are_bounded(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InferRequest.model_validate_json(json.dumps(infer_json(**changes)))


def test_a_large_json_is_refused_before_it_is_parsed(live: Live) -> None:
    many = infer_json(outputs=[{"name": "boxes"}] * (MAX_JSON_VALUES + 1))
    answer = live.client.post(f"/v2/models/{MODEL}/infer", json=many)
    assert answer.status_code == 422
    assert f"more than {MAX_JSON_VALUES} values" in answer.text
