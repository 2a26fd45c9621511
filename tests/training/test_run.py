"""A real training from rendered photos to a served bundle; `tiny_run` in conftest.py runs it once."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL, read_bundle
from app.detector.runtimes.load import load_runtime
from app.photo.decoding import decode
from training.cli import main
from training.data.annotations import read_annotated_photos
from training.data.records import write_other_records
from training.model.augmentation import Augmentation


@pytest.fixture(scope="module")
def bundle(tiny_run):
    return read_bundle(tiny_run / "bundle" / "tiny" / "1")


def test_the_records_hold_every_photo_in_its_fold(tiny_run, rendered_data) -> None:
    import tensorflow as tf

    photos = read_annotated_photos(rendered_data)
    for fold in range(5):
        names = set()
        for record in tf.data.TFRecordDataset(str(tiny_run / "records" / f"fold_{fold}.tfrecord")):
            example = tf.train.Example.FromString(record.numpy())
            names.add(example.features.feature["image/filename"].bytes_list.value[0].decode())
        assert names == {photo.path.name for photo in photos if photo.fold == fold}
    assert "name: 'caries'" in (tiny_run / "records" / "label_map.pbtxt").read_text()


def test_the_loss_of_every_step_was_logged(tiny_run) -> None:
    lines = [json.loads(line) for line in (tiny_run / "checkpoints" / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert all(np.isfinite(line["total_loss"]) for line in lines)
    assert np.mean([line["total_loss"] for line in lines[-5:]]) < np.mean([line["total_loss"] for line in lines[:5]])


def test_pictures_of_other_things_are_recorded_without_a_box(tmp_path) -> None:
    import tensorflow as tf

    path = write_other_records(tmp_path, 2)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert len(records) == 2
    for record in records:
        features = tf.train.Example.FromString(record).features.feature
        assert not features["image/object/class/label"].int64_list.value
        assert features["image/encoded"].bytes_list.value
    written = path.stat().st_mtime_ns
    assert write_other_records(tmp_path, 2).stat().st_mtime_ns == written, "made once"


def test_the_bundle_is_complete(bundle) -> None:
    assert {"saved_model.pb", FLOAT32_MODEL, INT8_MODEL, "label_map.pbtxt", "MODEL_CARD.md"} <= set(
        bundle.manifest["files"]
    )
    assert bundle.manifest["data"]["credit"] == "Rendered by the project."
    assert list(bundle.manifest["metrics"]["models"]) == ["float32", "int8"]
    assert bundle.manifest["parity"]["float32"]["max_score_difference"] < 1e-3
    assert "not a medical device" in bundle.card
    assert "Rendered by the project." in bundle.card
    assert "2 rendered mouths joined the training photos" in bundle.card
    assert bundle.manifest["data"]["other_training_pictures"] == 0


def test_both_runtimes_and_both_precisions_serve_it(bundle, rendered_data) -> None:
    pixels = decode(next((rendered_data / "img_train").iterdir()).read_bytes()).pixels
    litert = load_runtime(bundle, "litert").detect(pixels)
    tensorflow = load_runtime(bundle, "tensorflow").detect(pixels)
    assert len(litert) == len(tensorflow) > 0
    assert np.abs(litert.scores - tensorflow.scores).max() < 1e-3
    assert len(load_runtime(bundle, "litert", precision="int8").detect(pixels)) > 0


def test_caries_detect_reads_it(tiny_run, rendered_data, tmp_path) -> None:
    photo = next((rendered_data / "img_train").iterdir())
    subprocess.run(
        [sys.executable, "-m", "app", "detect", str(photo), "--out", str(tmp_path), "--threshold", "0.001"],
        check=True,
        env={"CARIES_MODEL_STORE": str(tiny_run / "bundle"), "PATH": ""},
    )
    with (tmp_path / "detections.csv").open() as file:
        assert list(csv.DictReader(file))
    assert list(tmp_path.glob("*.png"))


def test_a_finished_training_is_not_repeated(tiny_run, tiny_recipe) -> None:
    before = (tiny_run / "checkpoints" / "losses.jsonl").read_bytes()
    assert main(["train", "--out", str(tiny_run), "--recipe", str(tiny_recipe)]) == 0
    assert (tiny_run / "checkpoints" / "losses.jsonl").read_bytes() == before


def test_a_training_started_before_a_key_was_added_is_resumed(tiny_run, tiny_recipe, tmp_path) -> None:
    begun = tmp_path / "run"
    shutil.copytree(tiny_run, begun)
    state = json.loads((begun / "run.json").read_text())
    assert state["recipe"].pop("rotation") == 0
    (begun / "run.json").write_text(json.dumps(state))
    assert main(["train", "--out", str(begun), "--recipe", str(tiny_recipe)]) == 0


@pytest.mark.parametrize("key", ["fold", "class_ids"])
def test_a_training_is_not_continued_with_other_folds_or_labels(tiny_run, tiny_recipe, tmp_path, key, capsys) -> None:
    begun = tmp_path / "run"
    shutil.copytree(tiny_run, begun)
    before = (begun / "run.json").read_bytes()
    entries = json.loads((begun / "records" / "photos.json").read_text())
    entries[-1][key] = 0 if key == "fold" else [3 - class_id for class_id in entries[-1][key]]
    (begun / "records" / "photos.json").write_text(json.dumps(entries))
    assert main(["train", "--out", str(begun), "--recipe", str(tiny_recipe)]) == 1
    assert "a training of other photos, labels or folds" in capsys.readouterr().err
    assert (begun / "run.json").read_bytes() == before
    # Nor is what it gave measured on them.
    assert main(["package", "--out", str(begun)]) == 1
    assert "a training of other photos, labels or folds" in capsys.readouterr().err


def test_a_training_is_resumed_without_the_files_of_its_photos(tiny_run, tiny_recipe, tmp_path) -> None:
    begun = tmp_path / "run"
    shutil.copytree(tiny_run, begun)
    entries = json.loads((begun / "records" / "photos.json").read_text())
    moved = [{**entry, "path": str(tmp_path / "moved" / Path(entry["path"]).name)} for entry in entries]
    (begun / "records" / "photos.json").write_text(json.dumps(moved))
    assert main(["train", "--out", str(begun), "--recipe", str(tiny_recipe)]) == 0


def test_the_photos_are_changed_as_the_recipe_says(prepared, small_recipe, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr("training.run.train", lambda *_, augmentation, **__: asked.append(augmentation))
    settings = ("rotation=9", "zoom_out=0.2", "white_balance=0.1")
    command = ["train", "--out", str(prepared), "--recipe", str(small_recipe), *(f"--set={one}" for one in settings)]
    assert main(command) == 0
    assert asked == [Augmentation(rotation=9, zoom_out=0.2, white_balance=0.1)]


@pytest.mark.parametrize("change", ["--set=anchor_scale=2.0", "--set=rotation=5.0", "--fold=1"])
def test_another_recipe_or_fold_in_the_same_folder_is_refused(tiny_run, tiny_recipe, change, capsys) -> None:
    before = (tiny_run / "pipeline.config").read_bytes()
    assert main(["train", "--out", str(tiny_run), "--recipe", str(tiny_recipe), change]) == 1
    assert "another recipe or fold" in capsys.readouterr().err
    assert (tiny_run / "pipeline.config").read_bytes() == before


def test_packaging_stops_when_the_tflite_model_differs(tiny_run, tmp_path, capsys) -> None:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy, ignore=shutil.ignore_patterns("checkpoints", "bundle", "pretrained"))
    shutil.copy(copy / "export" / INT8_MODEL, copy / "export" / FLOAT32_MODEL)
    assert main(["package", "--out", str(copy)]) == 1
    assert "float32 TFLite model differs" in capsys.readouterr().err
    assert not list(copy.glob("bundle/**/bundle.json"))


def test_a_fold_that_holds_every_photo_cannot_be_held_out(small_data, small_recipe, tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(small_data, data)
    names = [path.name for path in (data / "img_train").iterdir()]
    (data / "folds.csv").write_text("image,group,fold\n" + "".join(f"{name},{name},0\n" for name in names))
    assert main(["prepare", "--data", str(data), "--out", str(out)]) == 0
    assert main(["train", "--out", str(out), "--recipe", str(small_recipe)]) == 1
    assert "none is left to train on" in capsys.readouterr().err
    assert main(["train", "--out", str(out), "--recipe", str(small_recipe), "--fold=1", "--set=evaluate_every=2"]) == 1
    assert "fold 1 has no photo to evaluate on" in capsys.readouterr().err


def test_float16_is_half_the_size_and_nearly_as_accurate(tiny_run, rendered_data) -> None:
    from app.detector.runtimes.litert import LiteRTRuntime

    assert main(["tflite", "--out", str(tiny_run), "--precision", "float16"]) == 0
    half, full = tiny_run / "export" / "model_float16.tflite", tiny_run / "export" / FLOAT32_MODEL
    assert half.stat().st_size < 0.55 * full.stat().st_size
    pixels = decode(next((rendered_data / "img_train").iterdir()).read_bytes()).pixels
    scores = [LiteRTRuntime(path).detect(pixels).scores[:5] for path in (half, full)]
    assert np.abs(scores[0] - scores[1]).max() < 0.02


def test_a_changed_photo_is_noticed(prepared, small_data, small_recipe, tmp_path, capsys) -> None:
    from training.run_folder import RunFolder

    photos = RunFolder(prepared).photos()
    assert [photo.path.name for photo in photos] == sorted(path.name for path in (small_data / "img_train").iterdir())
    state = prepared / "records" / "photos.json"
    state.write_text(state.read_text().replace('"sha256": "', '"sha256": "0'))
    assert main(["train", "--out", str(prepared), "--recipe", str(small_recipe), "--set=evaluate_every=2"]) == 1
    assert "was changed after it was prepared" in capsys.readouterr().err


def test_bad_data_is_listed_and_nothing_is_written(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert main(["prepare", "--data", str(tmp_path), "--out", str(out)]) == 1
    assert "contains no photo" in capsys.readouterr().err
    assert not out.exists()
