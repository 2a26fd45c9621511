import pytest
import tensorflow as tf

from training.model.checkpoints import BEST, CheckpointError, find_checkpoint, load_checkpoint


def test_the_latest_the_best_and_a_named_checkpoint_are_found(tmp_path) -> None:
    checkpoint = tf.train.Checkpoint(step=tf.Variable(1))
    first, second = (checkpoint.save(str(tmp_path / "ckpt")) for _ in range(2))
    best = checkpoint.save(str(tmp_path / BEST / "ckpt"))
    assert str(find_checkpoint(tmp_path)) == second
    assert str(find_checkpoint(tmp_path, BEST)) == best
    assert str(find_checkpoint(tmp_path / "ckpt-1")) == first


@pytest.mark.parametrize(
    ("place", "which", "message"),
    [
        ("", "latest", "there is no checkpoint in"),
        ("ckpt-1", "latest", "there is no checkpoint in .*ckpt-1"),
        ("", BEST, "best; the best one is saved if the recipe sets evaluate_every"),
    ],
)
def test_a_missing_checkpoint_is_refused(tmp_path, place, which, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(tmp_path / place, which)


def test_a_checkpoint_of_another_detector_is_refused(untrained, tmp_path) -> None:
    config, _ = untrained
    other = tf.train.Checkpoint(model=tf.train.Checkpoint(step=tf.Variable(1))).save(str(tmp_path / "ckpt"))
    with pytest.raises(CheckpointError, match=r"is not a checkpoint of the detector in .*pipeline\.config"):
        load_checkpoint(config, other)
