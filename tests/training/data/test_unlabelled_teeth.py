import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.detector.detections import Detections
from app.detector.runtimes import Runtime
from tests.app.detector.listed import listed
from tests.training.rendered_sets import rendered
from training.cli import main
from training.data.annotations import AnnotatedPhoto, Source
from training.data.data_sets import Labels
from training.data.prepare import prepare
from training.data.source import PartialLabels, ToothDetector
from training.data.unlabelled_teeth import FoundTeeth, unlabelled_teeth, with_teeth
from training.run import configure_step
from training.run_folder import RunError, RunFolder

NORMAL, CARIES = 1, 2


def box(left: float, top: float = 0.1, size: float = 0.1) -> list[float]:
    return [top, left, top + size, left + size]


def found(*detections: tuple[list[float], float, int], labelled=(), labels=Labels.CARIOUS_TEETH_ONLY) -> list:
    """Left edges and weights of the unlabelled teeth."""
    boxes, scores, class_ids = zip(*detections, strict=True)
    teeth = unlabelled_teeth(np.array(labelled, np.float32).reshape(-1, 4), listed(boxes, scores, class_ids), labels)
    return [(round(float(one[1]), 3), float(weight)) for one, weight in zip(teeth.boxes, teeth.weights, strict=True)]


@pytest.mark.parametrize(
    ("normal", "caries", "weight"),
    [(0.3, 0, 1), (0.29, 0, 0), (0.5, 0.5, 1), (0.45, 0.5, 0.5), (0, 0.4, 0.5), (0.35, 0.39, 0), (0, 0.39, 0)],
)
def test_the_weight_is_by_the_score_of_each_class(normal, caries, weight) -> None:
    both = ((box(0.1), normal, NORMAL), (box(0.11), caries, CARIES))
    ((_, of_tooth),) = found(*(one for one in both if one[1]))
    assert of_tooth == weight


def test_a_score_that_is_too_low_is_no_tooth() -> None:
    assert found((box(0.1), 0.119, NORMAL), (box(0.5), 0.12, NORMAL)) == [(0.5, 0)]


def test_labelled_teeth_and_parts_of_them_are_left_out() -> None:
    detections = [(box(0.1), 0.9, NORMAL), (box(0.52, 0.12, 0.05), 0.9, NORMAL), (box(0.8), 0.9, NORMAL)]
    assert found(*detections, labelled=[box(0.12), box(0.5)]) == [(0.8, 1)]


def test_of_overlapping_teeth_the_best_stays() -> None:
    # IoU 0.43 and 0.33.
    assert found((box(0.1), 0.5, NORMAL), (box(0.14), 0.9, NORMAL)) == [(0.14, 1)]
    assert found((box(0.1), 0.5, NORMAL), (box(0.15), 0.9, NORMAL)) == [(0.15, 1), (0.1, 1)]
    # A box of weight 0 must not take anchors from another.
    assert found((box(0.1), 0.2, NORMAL), (box(0.15), 0.9, NORMAL)) == [(0.15, 1)]
    assert found((box(0.1), 0.2, NORMAL), (box(0.18), 0.9, NORMAL)) == [(0.18, 1), (0.1, 0)]
    # A part of a tooth.
    assert found((box(0.1), 0.9, NORMAL), (box(0.12, 0.12, 0.05), 0.8, NORMAL)) == [(0.1, 1)]


def test_where_nearly_every_tooth_is_labelled_the_others_are_left_out_of_the_loss() -> None:
    detections = [(box(0.1), 0.9, NORMAL), (box(0.5), 0.9, CARIES)]
    assert found(*detections, labels=Labels.NEARLY_EVERY_TOOTH) == [(0.1, 0), (0.5, 0)]


def test_teeth_are_added_as_normal_after_the_labels() -> None:
    photo = AnnotatedPhoto(Path("x"), 9, 9, np.zeros((1, 4), np.float32), np.array([CARIES], np.int32), "g", 0)
    teeth = FoundTeeth(np.ones((2, 4), np.float32), np.array([0.5, 0], np.float32))
    assert with_teeth(photo, None) is photo
    both = with_teeth(photo, teeth)
    assert both.class_ids.tolist() == [CARIES, NORMAL, NORMAL]
    assert both.weights is not None
    assert both.weights.tolist() == [1, 0.5, 0]
    assert both.boxes[:, 0].tolist() == [0, 1, 1]
    again = with_teeth(replace(photo, weights=np.array([3], np.float32)), teeth)
    assert again.weights is not None
    assert again.weights.tolist() == [3, 0.5, 0]


class Finder(Runtime):
    """Finds one tooth in the corner, as often as it is asked."""

    name = "finder"
    device = "cpu"

    def detect(self, pixels) -> Detections:
        return listed([[0, 0, 0.02, 0.02]], [0.9], [NORMAL])


@pytest.fixture
def data(tmp_path) -> list[Path]:
    partly, fully = rendered(tmp_path / "partly", range(2), "A_"), rendered(tmp_path / "fully", range(2, 4), "B_")
    (partly / "dataset.toml").write_text('labels = "carious teeth only"')
    return [partly, fully]


@pytest.fixture
def loaded() -> list[str]:
    return []


@pytest.fixture
def source(loaded) -> Source:
    return Source(teeth_from=ToothDetector("finder", "abc", lambda: loaded.append("finder") or Finder()))


def test_the_teeth_are_in_the_records_and_not_among_the_labels(data, source, tmp_path) -> None:
    import tensorflow as tf

    run = RunFolder(tmp_path / "run")
    summary = prepare(data, run.records, source)
    assert "partly: unlabelled teeth found: 2 of weight 1, 0 of weight 0.5, 0 left out of the loss" in summary
    photos = run.photos()
    assert all(photo.weights is None and (photo.boxes.max(axis=1) > 0.03).all() for photo in photos)
    added = []
    for path in sorted(run.records.glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            name = features["image/filename"].bytes_list.value[0].decode()
            (photo,) = [photo for photo in photos if photo.path.name == name]
            added.append((photo.source, len(features["image/object/weight"].float_list.value) - len(photo.class_ids)))
    assert sorted(added) == [("fully", 0), ("fully", 0), ("partly", 1), ("partly", 1)]


def test_the_detector_is_run_once_for_the_same_photos(data, source, loaded, tmp_path) -> None:
    out = tmp_path / "records"
    assert prepare(data, out, source) == prepare(data, out, source)
    assert loaded == ["finder"]
    prepare(data, out, replace(source, teeth_from=replace(source.teeth_from, sha256="other")))
    labels = min((data[0] / "json_train").iterdir())
    content = json.loads(labels.read_text())
    del content["annotation"]["regions"][0]
    labels.write_text(json.dumps(content))
    prepare(data, out, source)
    assert len(loaded) == 3


def test_only_carious_teeth_without_a_detector_are_refused(data, tmp_path, capsys) -> None:
    command = ["prepare", *(f"--data={path}" for path in data), "--out", str(tmp_path / "run")]
    assert main(command) == 1
    assert (
        "partly: only carious teeth are labelled, so the others would be learned as background"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
    assert main([*command, "--teeth-from", "none"]) == 0
    assert RunFolder(tmp_path / "run").teeth_from() is None
    assert main([*command, "--teeth-from", str(tmp_path)]) == 1
    assert "is not a detector" in capsys.readouterr().err


def test_sets_of_carious_teeth_only_are_left_out_of_the_training_on_request(data, small_recipe, tmp_path) -> None:
    from training.recipe import Recipe

    run = RunFolder(tmp_path / "run")
    command = ["prepare", *(f"--data={path}" for path in data), "--out", str(run.path), "--teeth-from", "leave-out"]
    assert main(command) == 0
    assert {data_set.name: data_set.weight for data_set in run.data_sets()} == {"fully": 1, "partly": 0}
    assert {photo.source for photo in run.photos()} == {"fully", "partly"}
    configure_step(run, Recipe.read(small_recipe), validation_fold=None)
    assert {photo.source for photo in run.training_photos()} == {"fully"}
    assert "partly" not in run.pipeline_config.read_text().partition("eval_input_reader")[0]


def test_a_training_is_not_resumed_with_other_teeth(data, source, small_recipe, tmp_path) -> None:
    from training.recipe import Recipe

    run, recipe = RunFolder(tmp_path / "run"), Recipe.read(small_recipe)
    prepare(data, run.records, source)
    assert run.teeth_from() == {"name": "finder", "sha256": "abc"}
    configure_step(run, recipe, validation_fold=0)
    run.checkpoints.mkdir()
    configure_step(run, recipe, validation_fold=0)
    prepare(data, run.records, Source(partial_labels=PartialLabels.BACKGROUND))
    with pytest.raises(RunError, match="a training with other unlabelled teeth"):
        configure_step(run, recipe, validation_fold=0)
