"""The shipped detector, on rendered photos that no one labelled by hand."""

from types import SimpleNamespace

import pytest

from app.images import decode
from app.runtimes.litert import LiteRTRuntime
from training.annotations import read_annotated_photos
from training.cli import main
from training.configure import STOCK_CONFIG, parse_pipeline
from training.detectors import DetectorError
from training.run_folder import RunFolder
from training.second_look.enlarged import load_enlarged
from training.second_look.rescoring import rescore


@pytest.fixture(scope="module")
def shipped(fast_bundle) -> LiteRTRuntime:
    return LiteRTRuntime(fast_bundle.path / "model.tflite", threads=2)


def test_every_opinion_is_in_the_table_and_is_kept(small_data, fast_bundle, shipped, tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        "training.second_look.rescoring.load_enlarged", lambda path, sizes: asked.append((path, sizes)) or shipped
    )
    photos = [photo for photo in read_annotated_photos(small_data) if photo.fold == 0]
    options = {"model": fast_bundle.path, "views": ["mirror"], "input_sizes": [(416,)], "resamples": 5}
    text = rescore(photos, tmp_path, **options)
    assert asked == [(fast_bundle.path, (416,))]
    assert "| at 416 px alone |" in text
    assert (tmp_path / "rescored.md").read_text() == text
    kept = {"seen.json", "whole.npz", "mirror_0.npz", "at_416.npz"}
    assert {path.name for path in (tmp_path / "fold_0").iterdir()} == kept
    # It is not known whose data these photos are, so it is said.
    assert "trained on these photos if they are of its data" in text
    # What was detected is not detected again.
    monkeypatch.setattr("training.second_look.rescoring.detect_view", None)
    assert rescore(photos, tmp_path, **options) == text
    # What another model saw is not taken for it, nor what was seen on other photos.
    for others, which in ((photos, "int8"), (photos[:1], "float32")):
        with pytest.raises(DetectorError, match="holds what another detector saw, or on other photos"):
            rescore(others, tmp_path, **options, which=which)


def test_a_bundle_goes_on_as_a_run_of_another_size(
    small_data, fast_bundle, shipped, tmp_path, monkeypatch, capsys
) -> None:
    import training.compat  # noqa: F401  isort: skip
    from object_detection.builders import model_builder

    # Weights that the training would start from are of no use where there is none.
    monkeypatch.setattr(
        "training.run.fine_tune_source", lambda *_: SimpleNamespace(prefix=tmp_path / "none", type="classification")
    )
    # Names of variables count the detectors that the process has built.
    model_builder.build(parse_pipeline(STOCK_CONFIG.read_text()).model, is_training=False)
    out = tmp_path / "run"
    command = ["enlarge", "--data", str(small_data), "--model", str(fast_bundle.path), "--size", "96"]
    assert main([*command, "--out", str(out)]) == 1
    assert "was trained on all 209 photos, fold 0 too" in capsys.readouterr().err
    assert main([*command, "--out", str(out), "--fold", "none"]) == 0
    recipe, fold = RunFolder(out).configured()
    assert (recipe.model_name, recipe.input_size, fold) == ("caries-ssd-mobilenet-v2-fpnlite-96", 96, None)
    assert RunFolder(out).trained_at.read_text() == "320\n"
    # Back at its own size it sees what the shipped detector sees.
    pixels = decode(read_annotated_photos(small_data)[0].path.read_bytes()).pixels
    seen, again = shipped.detect(pixels), load_enlarged(out, (320,)).detect(pixels)
    assert again.scores[:20] == pytest.approx(seen.scores[:20], abs=1e-4)
    assert again.boxes[:5] == pytest.approx(seen.boxes[:5], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--views", "tiles,sideways"], "--views is 'sideways', allowed are mirror"),
        (["--input-sizes", "400"], "multiples of 32"),
    ],
)
def test_wrong_arguments_are_refused(small_data, tmp_path, capsys, arguments, message) -> None:
    command = ["rescore", "--data", str(small_data), "--model", "nowhere", "--out", str(tmp_path / "x")]
    assert main([*command, *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
