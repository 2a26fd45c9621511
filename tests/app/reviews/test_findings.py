"""What a detector said: kept from a screened photo, as labels, as what readers start from, and how unsure it was."""

from dataclasses import replace

import numpy as np
import pytest

from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.reviews.findings import Finding, disagreement
from app.reviews.labels import CARIES, NORMAL, Labels, ReaderVerdict
from app.screen_photo import ScreenedPhoto
from app.screening import Screening, Verdict
from app.settings import Blind
from tests.app.reviews.samples import TEETH, finding, labels


def test_a_screened_photo_becomes_a_finding(shipped_bundle: Bundle) -> None:
    boxes = np.array([[0.1, 0.2, 0.5, 0.4], [0.1, 0.2, 0.5, 0.4], [0.5, 0.5, 0.9, 0.9]], np.float32)
    detections = Detections(boxes, np.array([0.7, 0.2, 0.03]), np.array([2, 1, 1]))
    screened = ScreenedPhoto(
        bundle=shipped_bundle,
        width=200,
        height=100,
        sha256="",
        screening=Screening(Verdict.CARIES_SUSPECTED, (), 1, detections.head(1), 0),
        detections=detections,
        operating_point=shipped_bundle.operating_point,
        timings_ms={},
        picture=None,
        evidence=None,
    )
    found = Finding.from_screened(screened)
    assert (found.model, found.model_sha256) == (shipped_bundle.name, shipped_bundle.sha256)
    assert found.score_threshold == shipped_bundle.operating_point.score_threshold
    (tooth,) = found.teeth
    assert tooth.corners == (40.0, 10.0, 80.0, 50.0)
    assert tooth.scores == {NORMAL: 0.2, CARIES: 0.7}


def test_labels_are_those_of_the_operating_point() -> None:
    assert finding(0.9, 0.5, 0.1).labels == labels(0, 1)
    assert finding(0.9, 0.5, 0.1, threshold=0.6).labels == labels(0)
    unclear = replace(finding(), verdict=Verdict.NOT_ASSESSABLE)
    assert unclear.labels == Labels(ReaderVerdict.NOT_ASSESSABLE)


def test_what_readers_start_from() -> None:
    found = finding(0.9, 0.2, 0.1)
    assert found.start(Blind.OFF) == [box.as_dict() for box in labels(0).boxes]
    assert [box["class"] for box in found.start(Blind.UNCLASSED)] == [None, None, None]
    assert [box["box"]["xmin"] for box in found.start(Blind.UNCLASSED)] == [corners[0] for corners in TEETH]
    assert found.start(Blind.EMPTY) == []


def test_uncertainty_is_the_entropy_of_the_teeth_seen() -> None:
    assert finding(0.0, 1.0, 0.0).uncertainty == 0
    assert finding(0.5, 0.5, 0.0).uncertainty == pytest.approx(2)
    assert finding(0.9, 0.0, 0.0).uncertainty == pytest.approx(0.469, abs=1e-3)


def test_disagreement_of_detectors() -> None:
    one, other, sound = finding(0.9, 0.1, 0.1), finding(0.1, 0.9, 0.1), finding(0.1, 0.1, 0.1)
    assert disagreement([one]) == 0
    assert disagreement([sound, sound]) == 0
    assert disagreement([one, one]) == 0
    assert disagreement([one, sound]) == 1
    assert disagreement([one, finding(0.9, 0.9, 0.1)]) == pytest.approx(1 / 3)
    assert disagreement([one, one, other]) == 1


def test_the_form_of_the_api() -> None:
    answer = finding(0.9, 0.2, 0.1).as_dict()
    assert answer["model"] == {"name": "stand-in", "version": 1, "sha256": 64 * "a"}
    assert answer["verdict"] == "caries_suspected"
    assert len(answer["boxes"]) == 6
    left, top, right, bottom = TEETH[0]
    corners = {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}
    assert answer["boxes"][1] == {"class": "caries", "score": 0.9, "box": corners}
