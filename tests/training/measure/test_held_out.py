import json
import shutil

import pytest

from app.detector.bundle import read_bundle, write_manifest
from training.cli import main
from training.data.annotations import read_annotated_photos
from training.data.seen_photos import SEEN_PHOTOS, SeenPhotos, Use, identities
from training.measure.held_out import seen_by_run, seen_photos
from training.model.pretrained.start import find_start
from training.run_folder import RunFolder


def test_a_detector_trained_on_all_photos_is_not_measured_on_them(
    shipped_bundle, rendered_data, tmp_path, capsys
) -> None:
    out = tmp_path / "run"
    trained_on_all = shutil.copytree(shipped_bundle.path, tmp_path / "bundle")
    data = {**shipped_bundle.manifest["data"], "photos": 9, "training_photos": 9, "held_out_fold": None}
    write_manifest(trained_on_all, {**shipped_bundle.manifest, "data": data})
    command = ["repackage", "--bundle", str(trained_on_all), "--data", str(rendered_data), "--out", str(out)]
    assert main([*command, "--version", "7"]) == 1
    assert "trained on all 9 photos, including fold 0, so none is left to measure it on" in capsys.readouterr().err
    assert not out.exists()


def test_a_fold_of_the_training_is_not_measured_on(forms, rendered_data, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    command = ["repackage", "--bundle", str(forms["bundle"]), "--data", str(rendered_data), "--out", str(out)]
    assert main([*command, "--version", "7", "--fold", "1"]) == 1
    assert "was trained on fold 1: its training held out fold 0" in capsys.readouterr().err
    assert not out.exists()


def test_a_bundle_lists_the_photos_of_its_training(forms, tiny_run, rendered_data) -> None:
    photos = read_annotated_photos(rendered_data)
    listed = seen_photos(forms["bundle"])
    assert SEEN_PHOTOS in read_bundle(forms["bundle"]).manifest["files"]
    assert listed.uses(identities(photos)) == [Use.TRAINED if photo.fold else Use.CALIBRATED for photo in photos]
    assert not listed.unlisted
    assert sorted(seen_photos(tiny_run).photos) == sorted(listed.photos), "a run is as known as its bundle"
    assert sorted(seen_photos(tiny_run / "checkpoints" / "ckpt-20").photos) == sorted(listed.photos)


def test_a_bundle_without_a_list_is_unknown(shipped_bundle, tmp_path) -> None:
    alone = shutil.copytree(shipped_bundle.path, tmp_path / "bundle")
    (alone / SEEN_PHOTOS).unlink(missing_ok=True)
    assert seen_photos(alone) == SeenPhotos([], [f"{shipped_bundle.name} {shipped_bundle.version}"])


@pytest.mark.parametrize("kind", ["started_from", "teeth_from", "weights_of"])
def test_photos_of_earlier_detectors_are_seen_too(forms, prepared, small_recipe, tmp_path, kind) -> None:
    run = RunFolder(prepared)
    assert main(["configure", "--out", str(prepared), "--recipe", str(small_recipe)]) == 0
    own = seen_by_run(run)
    earlier = shutil.copytree(forms["bundle"], tmp_path / "earlier")
    if kind == "weights_of":
        run.weights_of.write_text(f"{earlier}\n")
    else:
        digest = find_start(earlier).sha256 if kind == "started_from" else read_bundle(earlier).sha256
        state = json.loads(run.state.read_text()) | {kind: {"name": "tiny 1", "sha256": digest}}
        run.state.write_text(json.dumps(state))
        # As an earlier version wrote the run, which did not keep the place.
        assert seen_by_run(run).unlisted == [f"tiny 1 (sha256 {digest[:12]})"]
        assert seen_by_run(run, earlier=[prepared, earlier]).unlisted == []
        if kind == "started_from":
            run.state.write_text(json.dumps(state | {"started_from_place": str(earlier)}))
        else:
            (run.records / "unlabelled_teeth.json").write_text(json.dumps({"place": str(earlier)}))
    both = seen_by_run(run)
    assert not both.unlisted
    assert len(both.photos) == len(own.photos) + len(seen_photos(earlier).photos) == 20
    uses = {photo.use for photo in both.photos if photo not in own.photos}
    assert uses == ({Use.TRAINED, Use.CALIBRATED} if kind == "weights_of" else {Use.EARLIER})
    shutil.rmtree(earlier)
    assert len(seen_by_run(run).unlisted) == 1
