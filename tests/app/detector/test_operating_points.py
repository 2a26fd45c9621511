"""Operating points and curves in manifests."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.detector.bundle import MANIFEST, read_bundle
from app.errors import BundleError, InvalidParameter
from tests.app.api.live_server import CURVE, POINTS, write_bundle


def test_points_and_curve_are_read(tmp_path: Path) -> None:
    bundle = read_bundle(write_bundle(tmp_path, operating_points=POINTS, curve=CURVE, replaces=["old"]))
    assert list(bundle.operating_points) == ["balanced", "specific"]
    assert bundle.point() is bundle.operating_point
    assert bundle.operating_point.name == "balanced"
    assert bundle.operating_point.by_source["clinic"].photos == 408
    assert bundle.point("specific").score_threshold == 0.7
    assert bundle.point("specific").max_boxes == 5
    assert bundle.curve is not None
    assert bundle.curve.sources["clinic"].photo_specificity is None
    assert bundle.curve.mean.photo_specificity == (0.1, 0.9)
    assert bundle.replaces == ("old",)


def test_a_bundle_without_them_has_none(tmp_path: Path) -> None:
    bundle = read_bundle(write_bundle(tmp_path))
    assert (bundle.operating_points, bundle.curve, bundle.replaces) == ({}, None, ())
    assert bundle.operating_point.name is None
    with pytest.raises(InvalidParameter, match="those of stand-in 1 are: none"):
        bundle.point("balanced")


def test_a_default_that_is_the_only_named_point(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["operating_point"]["name"] = "only"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    bundle = read_bundle(folder)
    assert bundle.point("only") is bundle.operating_point


def point(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["operating_points"]["balanced"].update(changes)


def curve(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["curve"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(operating_points=[]), "operating_points: .* is not an object"),
        (lambda m: m["operating_points"].update(Bad=POINTS["specific"]), "operating_points.Bad: the name must match"),
        (lambda m: m["operating_points"].update(keen=3), "operating_points.keen: 3 is not an object"),
        (lambda m: m["operating_points"]["specific"].pop("sensitivity"), "operating_points.specific.sensitivity"),
        (point(score_threshold=1.2), "operating_points.balanced.score_threshold: 1.2 is not a number from 0 to 1"),
        (point(score_threshold=None), "operating_points.balanced.score_threshold: None is not a number"),
        (
            point(score_threshold=0.4),
            "operating_point.score_threshold differs from operating_points.balanced.score_threshold",
        ),
        (point(precision="high"), "operating_points.balanced.precision: 'high' is not a number"),
        (point(f1=True), "operating_points.balanced.f1: True is not a number"),
        (point(false_positives_per_image=-1), "operating_points.balanced.false_positives_per_image: -1"),
        (point(false_positives_per_image=float("inf")), "operating_points.balanced.false_positives_per_image: inf"),
        (point(is_reached="yes"), "operating_points.balanced.is_reached: 'yes' is not of type bool"),
        (point(by_source={"a": {"photo_sensitivity": 2}}), r"operating_points.balanced.by_source.a.photo_sensitivity"),
        (curve(score_thresholds=[0.6, 0.2]), "curve.score_thresholds: the thresholds must be in ascending order"),
        (curve(score_thresholds=[0.1, 0.2, 0.3]), "curve.sources.clinic.sensitivity: it must be a list of 3 numbers"),
        (curve(mean={}), "curve.mean.photo_specificity"),
        (lambda m: m["curve"].pop("sources"), "curve.sources"),
        (lambda m: m.update(replaces="old"), "replaces: 'old' is not a list of model names"),
        (lambda m: m.update(replaces=["../old"]), "replaces: .* is not a list of model names"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    folder = write_bundle(tmp_path, operating_points=copy.deepcopy(POINTS), curve=CURVE)
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=f"lacks or misstates '?{message}"):
        read_bundle(folder)
