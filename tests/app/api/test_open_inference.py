"""The tensors of requests and answers."""

import json
import struct

import numpy as np
import pytest

from app.api.open_inference import ELEMENT, OUTPUTS, InferParameters, OutputName, model_metadata
from app.screening import ClassSelection


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
