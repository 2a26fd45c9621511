import json

import numpy as np
import pytest

from tests.training.rendered_sets import rendered
from training.cli import main
from training.data.annotations import read_annotated_photos
from training.data.records import write_records
from training.model.configure import parse_pipeline
from training.run_folder import RunFolder


@pytest.fixture
def run(tmp_path):
    """Two prepared data sets, `a` with 6 photos and `b` with 12."""
    data = [rendered(tmp_path / "a", range(6), "A_"), rendered(tmp_path / "b", range(10, 22), "B_")]
    assert main(["prepare", *(f"--data={path}" for path in data), "--out", str(tmp_path / "run")]) == 0
    return RunFolder(tmp_path / "run")


def configure(run, recipe, *settings: str) -> int:
    return main(["configure", "--out", str(run.path), "--recipe", str(recipe), *(f"--set={one}" for one in settings)])


def train_records(run) -> list[str]:
    pipeline = parse_pipeline(run.pipeline_config.read_text())
    return list(pipeline.train_input_reader.tf_record_input_reader.input_path)


def names(paths) -> list[str]:
    return [path.rpartition("/")[2].removesuffix(".tfrecord") for path in paths]


def photos_in(path) -> list[str]:
    import tensorflow as tf

    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    examples = (tf.train.Example.FromString(record) for record in records)
    return [example.features.feature["image/filename"].bytes_list.value[0].decode() for example in examples]


def test_each_set_has_its_records_listed_as_often_as_it_is_drawn(run, small_recipe, capsys) -> None:
    assert configure(run, small_recipe) == 0
    of_a = [f"1_a.fold_{fold}" for fold in (1, 2, 3, 4)]
    of_b = [f"2_b.fold_{fold}" for fold in (1, 2, 3, 4)]
    assert names(train_records(run)) == of_a + of_b
    assert configure(run, small_recipe, "sampling={a=3, c=1}") == 0
    assert names(train_records(run)) == of_a * 3 + of_b
    assert "sampling names c, which is not one of the data sets: a, b" in capsys.readouterr().err
    assert json.loads(run.state.read_text())["sampling"] == {"a": 3, "b": 1}
    for fold in range(5):
        expected = [one.path.name for one in run.photos() if one.fold == fold and one.source == "b"]
        assert photos_in(run.records / f"2_b.fold_{fold}.tfrecord") == expected


def test_a_set_can_be_left_out(run, small_recipe, capsys) -> None:
    assert configure(run, small_recipe, "sampling={a=0}") == 0
    assert names(train_records(run)) == [f"2_b.fold_{fold}" for fold in (1, 2, 3, 4)]
    pipeline = parse_pipeline(run.pipeline_config.read_text())
    measured = pipeline.eval_input_reader[0].tf_record_input_reader.input_path
    assert names(measured) == ["1_a.fold_0", "2_b.fold_0"]
    assert {photo.source for photo in run.training_photos()} == {"b"}
    assert configure(run, small_recipe, "sampling={a=0, b=0}") == 1
    assert "none is left to train on" in capsys.readouterr().err


def test_a_share_of_the_photos_is_trained_on(run, small_recipe) -> None:
    assert configure(run, small_recipe, "training_share=0.25", "sampling={a=2}") == 0
    found = train_records(run)
    assert names(found) == [f"1_a.fold_{fold}" for fold in (1, 2, 3, 4)] * 2 + [
        f"2_b.fold_{fold}" for fold in (1, 2, 3, 4)
    ]
    chosen = {photo.path.name for photo in run.training_photos()}
    assert {name for path in found for name in photos_in(path)} == chosen
    assert 0 < len(chosen) < len([photo for photo in run.photos() if photo.fold]) / 2


def test_a_training_is_not_resumed_with_other_weights_of_the_sets(run, small_recipe, capsys) -> None:
    assert configure(run, small_recipe) == 0
    run.checkpoints.mkdir()
    sets = run.records / "sets.json"
    sets.write_text(sets.read_text().replace('"weight": 1', '"weight": 2', 1))
    assert configure(run, small_recipe) == 1
    assert "a training with other weights of the data sets" in capsys.readouterr().err


def test_a_file_drawn_twice_is_in_memory_once(run) -> None:
    from training.model.batches import read_records

    first, second = (str(run.records / f"{name}.fold_1.tfrecord") for name in ("1_a", "2_b"))
    records, order = read_records([first, second, first])
    counts = len(photos_in(first)), len(photos_in(second))
    assert len(records) == sum(counts)
    assert order == [*range(sum(counts)), *range(counts[0])]


def test_preparing_one_set_removes_the_records_of_two(run, tmp_path) -> None:
    assert main(["prepare", "--data", str(tmp_path / "a"), "--out", str(run.path)]) == 0
    assert {path.stem for path in run.records.glob("*.tfrecord")} == {f"fold_{fold}" for fold in range(5)}


def test_every_box_has_its_weight(tmp_path) -> None:
    from dataclasses import replace

    import tensorflow as tf

    photos = read_annotated_photos(rendered(tmp_path / "a", range(2), "A_"))
    weights = np.linspace(0, 1, len(photos[1].class_ids), dtype=np.float32)
    write_records(tmp_path / "x.tfrecord", [photos[0], replace(photos[1], weights=weights)])
    found = [
        list(tf.train.Example.FromString(record).features.feature["image/object/weight"].float_list.value)
        for record in tf.data.TFRecordDataset(str(tmp_path / "x.tfrecord")).as_numpy_iterator()
    ]
    assert found == [[1.0] * len(photos[0].class_ids), weights.tolist()]
