"""Query parameters that are invalid, misspelt or repeated."""

import pytest

from tests.app.api.live_server import Live, assert_problem


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("threshold=1.1", "threshold is '1.1'"),
        ("threshold=-0.1", "threshold"),
        ("threshold=nan", "threshold"),
        ("threshold=inf", "threshold"),
        ("threshold=high", "threshold is 'high'"),
        ("threshold=", "threshold"),
        ("max_boxes=0", "max_boxes is '0'"),
        ("max_boxes=101", "max_boxes"),
        ("max_boxes=2.5", "max_boxes"),
        ("classes=normal", "classes is 'normal'"),
        ("lang=fr", "lang is 'fr'"),
        ("evidence=some", "evidence is 'some'"),
        ("plain=2", "plain is '2'"),
        ("format=gif", "format is 'gif'"),
        ("treshold=0.1", "did you mean threshold?"),
        ("Threshold=0.1", "did you mean threshold?"),
        ("maxboxes=3", "did you mean max_boxes?"),
        ("zzzz=3", "known are operating_point, threshold, max_boxes, classes, lang, plain, evidence, format, model"),
        ("threshold=0.1&threshold=0.9", "more than once"),
        ("lang=" + 500 * "x", "xxx..."),
    ],
)
def test_bad_parameter(live: Live, photo: bytes, query: str, says: str) -> None:
    body = assert_problem(live.client.post(f"/detect?{query}", content=photo), 422, "invalid-parameter")
    assert says in body["detail"]
    assert len(body["detail"]) < 300
