"""The committed detectors: their cards match the predictions of their folds, and they beat the reference."""

import shutil
from collections import Counter

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL
from app.detector.detections import Detections
from app.detector.runtimes.litert import LiteRTRuntime
from app.screening import Verdict
from tests.conftest import ROOT
from training.data.annotations import FOLDS, AnnotatedPhoto, read_annotated_photos
from training.measure.assessment import assess
from training.measure.calibration import cross_fitted
from training.measure.evidence import Evidence, out_of_fold_evidence
from training.measure.metrics import at_threshold, best_f1, half_of, match_class
from training.measure.out_of_fold import read_out_of_fold
from training.measure.predictions import predict
from training.measure.review import verdicts
from training.recipe import Recipe
from training.run import prepare_step
from training.run_folder import RunFolder

REFERENCE = {"mAP@.5:.95": 0.327, "mAP@.5": 0.632, "AP@.5 caries": 0.610, "best F1 caries": 0.623}
"""Stock settings, 800 steps, batch-norm statistics re-estimated, fold 0."""


@pytest.fixture(scope="module")
def kept_folds(real_photos, tmp_path_factory):
    """The predictions of the shipped recipe's cross-validation, with the records to read them."""
    folder = tmp_path_factory.mktemp("kept") / "folds"
    shutil.copytree(ROOT / "tests" / "data" / "caries-320", folder)
    prepare_step([real_photos], RunFolder(folder))
    return folder


@pytest.fixture(scope="module")
def evidence(each_bundle, kept_folds, real_photos) -> Evidence:
    return out_of_fold_evidence(
        kept_folds,
        Recipe.from_dict(each_bundle.manifest["recipe"]),
        training_photos=len(read_annotated_photos(real_photos)),
        trained_input_size=each_bundle.manifest.get("trained_input_size"),
    )


@pytest.fixture(scope="module")
def scored(each_bundle, kept_folds) -> tuple[list[AnnotatedPhoto], dict[str, list[Detections]]]:
    """The photos, and by precision their detections by the folds, calibrated."""
    recipe = Recipe.from_dict(each_bundle.manifest["recipe"])
    sizes = None if recipe.sizes == (320,) else recipe.sizes
    found = read_out_of_fold(kept_folds, sizes=sizes)
    int8 = read_out_of_fold(kept_folds, precision="int8", sizes=sizes).predictions
    return found.photos, {
        "float32": cross_fitted(found.photos, found.predictions),
        "int8": cross_fitted(found.photos, int8, fitted_on=found.predictions),
    }


@pytest.mark.parametrize("model", ["float32", "int8"])
def test_the_figures_on_the_card_are_those_of_the_folds(each_bundle, evidence, scored, model) -> None:
    claimed = each_bundle.manifest["metrics"]["models"][model]["figures"]
    photos, predictions = scored
    # These bundles state the figures at one threshold of all photos.
    threshold = evidence.points.default.score_threshold
    found = assess(photos, predictions[model], score_threshold=threshold).as_dict()["figures"]
    assert claimed.keys() == found.keys()
    for name, figure in found.items():
        assert figure["value"] == pytest.approx(claimed[name]["value"], abs=1e-6), name
        assert figure["interval"] == pytest.approx(claimed[name]["interval"], abs=1e-6), name


def test_calibration_and_threshold_are_those_of_the_folds(each_bundle, evidence, scored) -> None:
    np.testing.assert_allclose(each_bundle.calibration.weights, evidence.calibration.weights, rtol=1e-6)
    np.testing.assert_allclose(each_bundle.calibration.biases, evidence.calibration.biases, rtol=1e-6)
    # Rounded down, so that the box which it was taken from stays.
    assert 0 <= evidence.points.default.score_threshold - each_bundle.operating_point.score_threshold < 1e-4
    photos, predictions = scored
    matches = match_class(photos, predictions["float32"])
    # Each half is counted at the threshold of the highest F1 on the other, without the bounds of the named points.
    halves = [[item for photo, item in zip(photos, matches, strict=True) if half_of(photo) == half] for half in (0, 1)]
    first, second = halves
    counted = at_threshold(first, best_f1(second)[0]) + at_threshold(second, best_f1(first)[0])
    for name in ("sensitivity", "precision", "f1", "false_positives_per_image"):
        assert each_bundle.manifest["operating_point"][name] == pytest.approx(getattr(counted, name), abs=1e-4), name


def test_the_reference_run_is_beaten(each_bundle) -> None:
    figures = each_bundle.manifest["metrics"]["models"]["float32"]["figures"]
    for name, value in REFERENCE.items():
        assert figures[name]["value"] > value, name


def test_two_mouths_of_a_hundred_at_most_are_not_assessable(each_bundle, kept_folds) -> None:
    """By detectors that were not trained on them."""
    sizes = Recipe.from_dict(each_bundle.manifest["recipe"]).sizes
    found = read_out_of_fold(kept_folds, sizes=None if sizes == (320,) else sizes)
    scored = cross_fitted(found.photos, found.predictions)
    threshold, _ = best_f1(match_class(found.photos, scored))
    counts = verdicts(found.photos, found.predictions, scored, threshold)
    everything = sum((Counter(of_kind) for of_kind in counts.values()), Counter())
    assert everything.total() == 209
    assert everything[Verdict.NOT_ASSESSABLE] <= 4, counts


@pytest.mark.parametrize(("model", "file"), [("float32", FLOAT32_MODEL), ("int8", INT8_MODEL)])
def test_the_class_is_right_more_often_on_photos_of_the_training_than_out_of_fold(
    each_bundle, real_photos, model, file
) -> None:
    photos = read_annotated_photos(real_photos)
    found = [each_bundle.calibrated(one) for one in predict(LiteRTRuntime(each_bundle.path / file, threads=2), photos)]
    claimed = each_bundle.manifest["metrics"]["models"][model]["figures"]["class right on found teeth"]["value"]
    for fold in range(FOLDS):
        places = [place for place, photo in enumerate(photos) if photo.fold == fold]
        of_fold = assess([photos[place] for place in places], [found[place] for place in places], resamples=2)
        assert of_fold.as_dict()["figures"]["class right on found teeth"]["value"] > claimed, fold
