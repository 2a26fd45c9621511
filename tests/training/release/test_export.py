from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from app.detector.runtimes.tensorflow import BATCH_SIGNATURE
from training.model.checkpoints import load_checkpoint
from training.release import export as module
from training.release.export import export


def test_the_saved_model_detects_what_its_checkpoint_does(untrained: tuple[Path, Path], tmp_path) -> None:
    out = tmp_path / "saved_model"
    out.mkdir()
    (out / "of_an_earlier_export").touch()
    assert export(*untrained, out) == out
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    assert not (out / "of_an_earlier_export").exists()
    signatures = tf.saved_model.load(str(out)).signatures
    photos = np.random.default_rng(5).integers(0, 255, (2, 128, 128, 3), np.uint8)
    batch = signatures[BATCH_SIGNATURE](tf.constant(photos))
    single = signatures["serving_default"](tf.constant(photos[:1]))
    (expected,) = load_checkpoint(*untrained).detect_resized(photos[:1])
    for scores in (batch["detection_scores"], single["detection_scores"]):
        np.testing.assert_allclose(scores[0, : len(expected)], expected.scores, atol=1e-4)


def test_a_failed_export_leaves_the_earlier_one(untrained: tuple[Path, Path], tmp_path, monkeypatch) -> None:
    out = tmp_path / "saved_model"
    out.mkdir()
    (out / "saved_model.pb").write_bytes(b"earlier")

    def full(variables: object, folder: str, signatures: object) -> None:
        tf.io.gfile.makedirs(folder)
        raise OSError("no space left")

    monkeypatch.setattr(module, "save_graphs", full)
    with pytest.raises(OSError, match="no space left"):
        export(*untrained, out)
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    assert (out / "saved_model.pb").read_bytes() == b"earlier"
