"""The committed detector: its card matches its detections on fold 0, which it was not trained on, and it beats the
reference run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL
from app.detector.detections import Detections
from app.detector.runtimes.litert import LiteRTRuntime
from tests.conftest import ROOT
from training.data.annotations import AnnotatedPhoto
from training.data.pooling import read_sets
from training.data.seen_photos import Use, identities
from training.measure.evidence import Evidence, held_out_evidence
from training.measure.held_out import seen_photos
from training.measure.predictions import load_predictions, predict

REFERENCE = {"mAP@.5": 0.683, "AP@.5 caries": 0.589, "F1": 0.518}
"""The same architecture after 1,000 steps on two of the data sets: mAP of fold 0, the others of photos kept apart."""

MAX_NOT_ASSESSABLE = {"tooth-photos": 0.02, "dentalai": 0.04, "ahmed2025": 0.02}
"""Shares of the photos of each data set; the target of 0.03 is missed on dentalai, see docs/quality.md."""

MODELS = {"float32": FLOAT32_MODEL, "int8": INT8_MODEL}


@pytest.fixture(scope="module")
def held_out(data_sets: list[Path]) -> list[AnnotatedPhoto]:
    return [photo for photo in read_sets(data_sets).photos if photo.fold == 0]


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, Detections]]:
    """By model the detections of the shipped detector on fold 0, by the photo's file name."""
    return {model: load_predictions(ROOT / "tests" / "data" / "fold_0" / f"{model}.npz") for model in MODELS}


@pytest.fixture(scope="module")
def evidence(held_out: list[AnnotatedPhoto], kept: Mapping[str, Mapping[str, Detections]], shipped_bundle) -> Evidence:
    predictions = {model: [found[photo.path.name] for photo in held_out] for model, found in kept.items()}
    training_photos = shipped_bundle.manifest["data"]["training_photos"]
    return held_out_evidence(0, held_out, predictions, training_photos=training_photos)


@pytest.mark.parametrize("model", MODELS)
def test_the_kept_detections_are_those_of_the_shipped_models(shipped_bundle, held_out, kept, model) -> None:
    """Of every eleventh photo; processors without the same instructions round differently."""
    photos = held_out[::11]
    found = predict(LiteRTRuntime(shipped_bundle.path / MODELS[model], threads=2), photos)
    differences = [
        np.abs(one.scores[:10] - kept[model][photo.path.name].scores[:10]).mean()
        for photo, one in zip(photos, found, strict=True)
    ]
    assert np.mean(differences) < (0.001 if model == "float32" else 0.01)


@pytest.mark.parametrize("model", MODELS)
def test_the_figures_on_the_card_are_those_of_the_kept_detections(shipped_bundle, evidence, model) -> None:
    claimed, found = shipped_bundle.manifest["metrics"]["models"][model], evidence.evaluations[model]
    by_source = {"mean": (claimed, found)} | {
        source: (claimed["sources"][source], figures) for source, figures in found["sources"].items()
    }
    assert len(by_source) == 4
    for source, (ours, theirs) in by_source.items():
        for name, figure in theirs["figures"].items():
            assert figure["value"] == pytest.approx(ours["figures"][name]["value"], abs=1e-6), (source, name)
            assert figure["interval"] == pytest.approx(ours["figures"][name]["interval"], abs=1e-6), (source, name)


def test_calibration_and_operating_points_are_those_of_the_kept_detections(shipped_bundle, evidence) -> None:
    np.testing.assert_allclose(shipped_bundle.calibration.weights, evidence.calibration.weights, rtol=1e-6)
    np.testing.assert_allclose(shipped_bundle.calibration.biases, evidence.calibration.biases, rtol=1e-6)
    claimed = shipped_bundle.manifest["operating_points"]
    assert list(claimed) == ["sensitive", "balanced", "specific"]
    assert claimed == {name: point.as_dict() for name, point in evidence.points.points.items()}
    assert shipped_bundle.manifest["curve"] == evidence.points.curve


def test_the_reference_run_is_beaten(shipped_bundle) -> None:
    figures = shipped_bundle.manifest["metrics"]["models"]["float32"]["figures"]
    for name, value in REFERENCE.items():
        assert figures[name]["value"] > value, name


def test_few_mouths_are_not_assessable(evidence) -> None:
    for model, figures in evidence.evaluations.items():
        for source, most in MAX_NOT_ASSESSABLE.items():
            assert figures["sources"][source]["figures"]["not assessable"]["value"] <= most, (model, source)


def test_it_lists_the_photos_that_it_has_seen(shipped_bundle) -> None:
    seen = seen_photos(shipped_bundle.path)
    data = shipped_bundle.manifest["data"]
    uses = [photo.use for photo in seen.photos]
    assert uses.count(Use.TRAINED) == data["training_photos"]
    assert uses.count(Use.CALIBRATED) == data["photos"] - data["training_photos"]
    assert not seen.unlisted


def test_a_photo_of_the_held_out_fold_is_recognized(shipped_bundle, held_out) -> None:
    assert seen_photos(shipped_bundle.path).uses(identities(held_out[::100])) == [Use.CALIBRATED] * 8
