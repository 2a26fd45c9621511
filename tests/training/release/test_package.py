"""Packaging replaces a bundle completely or not at all; `test_run.py` packages a real training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL, read_bundle
from app.detector.calibration import Calibration
from training.data.annotations import AnnotatedPhoto
from training.measure.evidence import Evidence
from training.measure.operating_points import OperatingPoint, OperatingPoints
from training.recipe import Recipe
from training.release.package import package
from training.release.parity import Parity, ParityError

ROUNDING = Parity(10, 0, 0, 1e-6, 1e-7, 1e-6, 1e-7)
FIGURES = {"figures": {"mAP@.5": {"value": 0.5, "interval": [0.4, 0.6]}}}
MEASURED = {
    **{"sensitivity": 0.75, "precision": 0.6, "f1": 0.66667, "false_positives_per_image": 1.0},
    **{"photo_sensitivity": 0.9, "photo_specificity": None, "photos_cleared": 0.1, "not_assessable": 0.0},
}
POINT = OperatingPoint(0.123456, "a goal", True, np.zeros(1), {"clinic": MEASURED}, MEASURED, {"clinic": 4})
ALONG = {
    **{"sensitivity": [0.9, 0.5], "false_positives_per_image": [2.0, 1.0]},
    **{"photo_sensitivity": [0.95, 0.8], "photo_specificity": None},
}
CURVE = {"score_thresholds": [0.1, 0.2], "sources": {"clinic": ALONG}, "mean": ALONG}
POINTS = OperatingPoints({"balanced": POINT, "sensitive": replace(POINT, score_threshold=0.05)}, CURVE)
EVIDENCE = Evidence("fold 0, 1 photos", {"saved_model": FIGURES}, POINTS, 2)


@pytest.fixture
def export(tmp_path) -> Path:
    folder = tmp_path / "export"
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (folder / "saved_model" / "variables" / "variables.index").write_bytes(b"weights")
    for name in (FLOAT32_MODEL, INT8_MODEL):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def pack(export, tmp_path):
    photos = [
        AnnotatedPhoto(Path("x"), 9, 9, np.zeros((1, 4), np.float32), np.array([2], np.int32), "g", fold)
        for fold in (0, 1, 1)
    ]

    def pack(**changes):
        arguments: dict[str, Any] = {
            "version": 1,
            "recipe": Recipe("teeth", data_credit="Ours.", pretrained="none"),
            "photos": photos,
            "evidence": EVIDENCE,
            "parity": {"float32": ROUNDING, "int8": ROUNDING},
            "checkpoint": "latest",
            "held_out_fold": 0,
        }
        return package(export, tmp_path / "store", **(arguments | changes))

    return pack


def test_the_manifest_states_figures_and_photos(pack) -> None:
    bundle = pack()
    point = bundle.operating_point
    assert point.score_threshold == 0.1234, "rounded down, so that every admitted box stays admitted"
    assert (point.sensitivity, point.false_positives_per_image) == (0.75, 1.0)
    assert (bundle.manifest["data"]["training_photos"], bundle.manifest["data"]["held_out_fold"]) == (2, 0)
    assert bundle.manifest["pretrained_weights"] == "none"
    assert "fold 0, 1 photos" in bundle.card
    assert "Ours." in bundle.card


def test_the_named_points_are_in_the_manifest_with_their_figures_by_source(pack) -> None:
    manifest = pack().manifest
    assert manifest["operating_point"]["name"] == "balanced"
    assert manifest["curve"] == CURVE
    assert list(manifest["operating_points"]) == ["balanced", "sensitive"]
    balanced = manifest["operating_points"]["balanced"]
    assert balanced.items() >= {"score_threshold": 0.1234, "goal": "a goal", "is_reached": True, "f1": 0.6667}.items()
    assert balanced["by_source"] == {"clinic": {"photos": 4, **MEASURED, "f1": 0.6667}}
    assert manifest["operating_points"]["sensitive"]["score_threshold"] == 0.05


def test_the_weights_started_from_and_the_detector_of_teeth_are_named(pack) -> None:
    origin = {
        "started_from": {"name": "first ckpt-7", "sha256": "a" * 64, "pretrained_weights": "A backbone"},
        "teeth_from": {"name": "finder", "sha256": "b" * 64},
    }
    bundle = pack(origin=origin)
    assert {key: bundle.manifest[key] for key in origin} == origin
    assert bundle.manifest["pretrained_weights"] == "A backbone"
    assert "Pretrained weights: A backbone\nThe training started from first ckpt-7 (sha256 aaaaaaaaaaaa)" in bundle.card
    assert "Teeth without a label were found by finder (sha256 bbbbbbbbbbbb)" in bundle.card
    assert "started_from" not in pack().manifest


def test_every_data_set_is_described_and_credited(pack) -> None:
    sets = [
        {
            **{"name": name, "credit": credit, "licence": licence, "labels": labels, "sampling": 1},
            **{"photos": 3, "training_photos": 2, "boxes": {"normal": 0, "caries": 2}},
        }
        for name, credit, licence, labels in (
            ("one", "A clinic.", "CC BY 4.0", "every tooth"),
            ("two", "", "", "carious teeth only"),
        )
    ]
    bundle = pack(sets=sets)
    assert bundle.manifest["data"]["sets"] == sets
    assert "- `one`, 3 photos, 2 for training (every tooth labelled): A clinic. Licence: CC BY 4.0." in bundle.card
    assert "- `two`, 3 photos, 2 for training (carious teeth only labelled): origin not stated." in bundle.card
    assert "Ours." not in bundle.card, "the recipe's credit is that of a set without a description"
    assert "come from 2 sources" in bundle.card


def test_the_card_has_points_and_figures_by_source(pack) -> None:
    point = replace(POINT, by_source={"one": MEASURED, "two": MEASURED}, photos={"one": 4, "two": 2}, is_reached=False)
    figures = {**FIGURES, "sources": {"one": FIGURES, "two": FIGURES}}
    points = OperatingPoints({"balanced": point}, {})
    bundle = pack(evidence=replace(EVIDENCE, points=points, evaluations={"float32": figures}))
    assert "curve" not in bundle.manifest
    assert "| figure | one | two |" in bundle.card
    assert "- `balanced`: a goal (out of reach, so without the bounds)." in bundle.card
    row = "| `balanced` | 0.1234 | {} | 1.00 | 0.750 | 0.600 | 0.667 | 0.900 | 0.100 | - | 0.000 |"
    assert all(row.format(source) in bundle.card for source in ("one", "two", "mean"))
    assert "| figure | one | two |" not in pack(version=2).card


def test_the_models_that_it_takes_the_place_of_are_named(pack) -> None:
    assert pack(replaces=["old", "older"]).manifest["replaces"] == ["old", "older"]
    assert "replaces" not in pack(version=2).manifest


def test_a_calibration_is_in_the_manifest_and_explained_in_the_card(pack) -> None:
    calibration = Calibration((1, 2), np.array([[1.0, -0.5, 0.25], [-0.5, 1.0, 0.25]]), np.array([0.5, -0.5]))
    bundle = pack(evidence=replace(EVIDENCE, calibration=calibration))
    assert bundle.calibration is not None
    assert bundle.calibration.as_dict() == calibration.as_dict()
    assert "## Calibration" in bundle.card
    assert "## Calibration" not in pack(version=2).card


def test_a_detector_of_another_size_than_it_was_trained_at_says_so(pack) -> None:
    enlarged = pack(trained_input_size=256)
    assert enlarged.manifest["trained_input_size"] == 256
    assert "at 256 x 256, whose weights run here at the larger size" in enlarged.card
    assert "whose weights run here at the smaller size" in pack(version=3, trained_input_size=416).card
    assert "whose weights run here" not in pack(version=2, trained_input_size=320).card


def test_the_figures_of_a_checkpoint_chosen_by_them_are_called_optimistic(pack) -> None:
    assert "optimistic" in pack(checkpoint="best").card
    assert "optimistic" not in pack().card


def test_an_architecture_without_tflite_is_packaged_as_a_saved_model(pack) -> None:
    bundle = pack(parity={}, recipe=Recipe("teeth", architecture="faster_rcnn_resnet50_v1", pretrained="none"))
    assert not list(bundle.path.glob("*.tflite"))
    assert "Faster R-CNN" in bundle.card
    assert "TensorFlow has to run it" in bundle.card


def test_a_version_is_replaced_completely(pack, export) -> None:
    first = pack()
    (export / FLOAT32_MODEL).write_bytes(b"better")
    second = pack()
    assert first.path == second.path
    assert (read_bundle(second.path).path / FLOAT32_MODEL).read_bytes() == b"better"
    assert [path.name for path in second.path.parent.iterdir()] == ["1"]


def test_a_failure_leaves_the_earlier_bundle_and_no_rubbish(pack, export) -> None:
    bundle = pack()
    (export / INT8_MODEL).unlink()
    with pytest.raises(FileNotFoundError):
        pack()
    assert read_bundle(bundle.path).sha256 == bundle.sha256
    assert [path.name for path in bundle.path.parent.iterdir()] == ["1"]


def test_a_float32_model_that_differs_is_not_packaged(pack, tmp_path) -> None:
    with pytest.raises(ParityError, match="differs from the SavedModel"):
        pack(parity={"float32": replace(ROUNDING, max_score_difference=0.01), "int8": ROUNDING})
    assert not (tmp_path / "store").exists()
