"""Requests of the Open Inference Protocol as bytes."""

from __future__ import annotations

import json
from typing import Any

from app.api.open_inference import ELEMENT, HEADER_LENGTH


def infer_json(**changes: Any) -> dict[str, Any]:
    """A request without its photo; parts by keyword, those of the input with `input_` in front."""
    tensor = {"name": "photo", "shape": [1], "datatype": "BYTES"}
    tensor |= {name.removeprefix("input_"): value for name, value in changes.items() if name.startswith("input_")}
    return {"inputs": [tensor]} | {name: value for name, value in changes.items() if not name.startswith("input_")}


def infer_body(photo: bytes, **changes: Any) -> tuple[bytes, dict[str, str]]:
    """A request with a binary tensor, and its headers."""
    tensor = ELEMENT.pack(len(photo)) + photo
    head = json.dumps(infer_json(**{"input_parameters": {"binary_data_size": len(tensor)}} | changes)).encode()
    return head + tensor, {HEADER_LENGTH: str(len(head))}
