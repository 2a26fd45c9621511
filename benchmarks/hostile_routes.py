"""Hostile requests to every route: odd names in the path, odd parameters, and JSON that is almost what is expected."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

_RECORD = {
    **{"version": 0, "verdict": "carious", "view": "front", "note": "a note"},
    "boxes": [{"class": "caries", "box": {"xmin": 1.0, "ymin": 2.0, "xmax": 30.5, "ymax": 40.0}}],
}
_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="caries"/></RectangleLabels></View>'
)
_INPUT = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["aGVsbG8="]}
_INFER = {"id": "1", "inputs": [_INPUT], "parameters": {"threshold": 0.5}, "outputs": [{"name": "boxes"}]}

PHOTO, PHOTOS = 1, 2
"""A body of one photo, and one of several."""

ROUTES: Mapping[str, Any] = {
    "GET /": None,
    "GET /page/{name}": None,
    "GET /metrics": None,
    "GET /health/live": None,
    "GET /health/ready": None,
    "GET /problems/{slug}": None,
    "GET /models": None,
    "GET /models/{model}/card": None,
    "GET /models/{model}/curve": None,
    "POST /models/reload": {"model": "caries", "version": 1},
    "POST /detect": PHOTO,
    "POST /detect/batch": PHOTOS,
    "GET /v2": None,
    "GET /v2/health/live": None,
    "GET /v2/health/ready": None,
    "GET /v2/models/{model}": None,
    "GET /v2/models/{model}/ready": None,
    "GET /v2/models/{model}/versions/{version}": None,
    "GET /v2/models/{model}/versions/{version}/ready": None,
    "POST /v2/models/{model}/infer": _INFER,
    "POST /v2/models/{model}/versions/{version}/infer": _INFER,
    "GET /label-studio/health": None,
    "POST /label-studio/setup": {"schema": _CONFIG, "project": "1"},
    "POST /label-studio/predict": {"tasks": [{"data": {"image": "/data/upload/1/a.jpg"}}], "label_config": _CONFIG},
    "POST /label-studio/webhook": {"action": "ANNOTATION_CREATED"},
    "GET /session": None,
    "POST /session": {"key": "caries_00000000_" + "0" * 64},
    "DELETE /session": None,
    "GET /reviews": None,
    "POST /reviews/photos": PHOTO,
    "POST /reviews/batch": PHOTOS,
    "GET /reviews/photos": None,
    "GET /reviews/photos/{photo_id}": None,
    "GET /reviews/photos/{photo_id}/picture": None,
    "PUT /reviews/photos/{photo_id}/reading": _RECORD,
    "PUT /reviews/photos/{photo_id}/consensus": _RECORD,
    "DELETE /reviews/photos/{photo_id}": None,
    "DELETE /reviews/photos": None,
    "DELETE /reviews/patients/{patient}": None,
    "GET /reviews/agreement": None,
    "GET /reviews/export": None,
}
"""Every method and pattern of the server, and what it takes as its body."""

_PARAMETERS = (
    *("reader", "patient", "view", "state", "order", "limit", "offset", "kept_before", "everywhere", "version"),
    *("model", "threshold", "lang", "x"),
)
_VALUES = (
    *("kim", "lee", "p-17", "front", "all", "done", "date", "2026-01-31", "2026-02-30", "9999-99-99", "true", "1", "0"),
    *("-1", "1e9", "1" * 400, "nan", "", "%00", "%ff", "%0a", "%20", "a" * 5000, "..%2f", "치아", "<b>", "'--", "%27"),
)  # fmt: skip
_IN_PATHS = (
    *("1", "2", "3", "7", "0", "-1", "2147483648", "9" * 30, "1.0", "%31", "%00", "%ff", "..", "%2e%2e", "a" * 300),
    *("p-17", "caries", "overloaded", "index.html", "치아", "%20", "'--", "1%2f2"),
)  # fmt: skip
_ODD: tuple[Any, ...] = (
    *(None, "", -1, 0, 1, 2, 10**9 + 1, 1e308, float("nan"), float("inf"), True, [], {}, "x" * 2000, "\0", "\ud800"),
    *("치아", "sound", "not_assessable", "normal", [[]] * 300, {"a": {"b": []}}),
)  # fmt: skip


class RouteCase(NamedTuple):
    """The body is JSON, unless the route takes photos: `PHOTO` or `PHOTOS`, else 0."""

    method: str
    path: str
    body: bytes
    photos: int


def route_case(chance: random.Random) -> RouteCase:
    """A request to one of the routes, each as likely as the others."""
    method, _, pattern = chance.choice(list(ROUTES)).partition(" ")
    path = "/".join(chance.choice(_IN_PATHS) if part.startswith("{") else part for part in pattern.split("/"))
    query = [f"{chance.choice(_PARAMETERS)}={chance.choice(_VALUES)}" for _ in range(chance.choice((0, 0, 1, 2)))]
    if path.startswith("/reviews") and chance.random() < 0.7:
        query.append("reader=" + chance.choice(("kim", "lee")))
    wanted = ROUTES[f"{method} {pattern}"]
    address = path + ("?" + "&".join(query) if query else "")
    if wanted in (PHOTO, PHOTOS):
        return RouteCase(method, address, b"", wanted)
    return RouteCase(method, address, b"" if wanted is None else _almost(wanted, chance), 0)


def _almost(content: Any, chance: random.Random) -> bytes:
    """The JSON of a content with some values replaced, removed or added, and sometimes broken bytes."""
    content = json.loads(json.dumps(content))
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        node = content
        while True:
            places = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not places:
                break
            place = chance.choice(places)
            if isinstance(node[place], dict | list) and chance.random() < 0.8:
                node = node[place]
                continue
            match chance.randrange(4):
                case 0:
                    del node[place]
                case 1 if isinstance(node, dict):
                    node[chance.choice(("x", "__proto__", "치아"))] = chance.choice(_ODD)
                case _:
                    node[place] = chance.choice(_ODD)
            break
    data = bytearray(json.dumps(content).encode())
    if chance.random() < 0.2:
        place = chance.randrange(len(data))
        data[place : place + chance.randrange(3)] = chance.choice((b"\xff", b"", b"[" * 2000, b"\0", b'"'))
    return bytes(data)
