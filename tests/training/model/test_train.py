"""The loop, run for real on small photos: exact continuation, evaluation, the best checkpoint, early stop, devices."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from training.cli import main
from training.model.randomness import stateless

pytestmark = pytest.mark.slow


def losses(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "checkpoints" / "losses.jsonl").read_text().splitlines()]


def evaluations(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "checkpoints" / "evaluations.jsonl").read_text().splitlines()]


def train_command(run: Path, recipe: Path, *settings: str, before: str = "") -> list[str]:
    """`python -m training train` with a checkpoint every five steps."""
    arguments = ["train", "--out", str(run), "--recipe", str(recipe), *(f"--set={setting}" for setting in settings)]
    arguments += ["--checkpoint-every", "5"]
    # A few batches re-estimate the statistics of batch norm as well as the 80 of a real training.
    code = (
        f"import sys, training.model.batch_norm as b, training.model.train as t; b.REESTIMATION_BATCHES = 8; {before}"
    )
    return [sys.executable, "-c", f"{code}\nfrom training.cli import main; sys.exit(main({arguments!r}))"]


def test_a_training_killed_at_a_random_step_ends_like_an_uninterrupted_one(prepared, small_recipe, tmp_path) -> None:
    """Every loss and every evaluation is the same number, not only a near one: nothing depends on what came before but
    the checkpoint, and the photos and their augmentation are functions of the step."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for run in (whole, killed):
        shutil.copytree(prepared, run)
    settings = ("evaluate_every=6", "rotation=10", "zoom_out=0.3", "white_balance=0.1")
    subprocess.run(train_command(whole, small_recipe, *settings), check=True)
    kill_after = random.randrange(6, 12)
    process = subprocess.Popen(train_command(killed, small_recipe, *settings))
    log = killed / "checkpoints" / "losses.jsonl"
    try:
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().count("\n") >= kill_after:
                break
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it was killed while it ran"
    assert (killed / "checkpoints" / "ckpt-5.index").exists(), "it goes on from a checkpoint"
    subprocess.run(train_command(killed, small_recipe, *settings), check=True)
    assert [line["step"] for line in losses(killed)] == list(range(1, 13))
    without_time = [[{**line, "seconds": 0} for line in losses(run)] for run in (whole, killed)]
    assert without_time[0] == without_time[1], f"killed after step {kill_after}"
    assert evaluations(whole) == evaluations(killed)


def test_the_best_checkpoint_is_kept_and_a_training_without_gain_stops(prepared, small_recipe, monkeypatch) -> None:
    traced = []

    def count_and_seed(seed: Any) -> AbstractContextManager[None]:
        traced.append(seed)
        return stateless(seed)

    # The step enters it whenever it is traced.
    monkeypatch.setattr("training.model.train.stateless", count_and_seed)
    # At a learning rate near 0 the figures are random, and no series of improvements lasts for 30 evaluations.
    settings = ["learning_rate_base=0.000001", "warmup_learning_rate=0.0", "num_steps=60", "batch_norm_decay=0.001"]
    settings += ["evaluate_every=2", "early_stop_after=2"]
    command = ["train", "--out", str(prepared), "--recipe", str(small_recipe), *(f"--set={one}" for one in settings)]
    assert main([*command]) == 0
    assert len(traced) == 1, "the step is traced once"
    values = [entry["figures"]["mAP@.5:.95"] for entry in evaluations(prepared)]
    assert len(losses(prepared)) == 2 * len(values) < 60
    assert values.index(max(values)) == len(values) - 3
    checkpoints = prepared / "checkpoints"
    assert (checkpoints / "best" / f"ckpt-{2 * (values.index(max(values)) + 1)}.index").exists()
    assert (checkpoints / f"ckpt-{2 * len(values)}.index").exists()
    assert main([*command]) == 0, "a stopped training does not restart"
    assert len(losses(prepared)) == 2 * len(values)
    check_events(prepared, steps=2 * len(values))
    assert main(["export", "--out", str(prepared), "--checkpoint", "best"]) == 0
    assert (prepared / "export" / "checkpoint.txt").read_text() == "best\n"


def check_events(run: Path, *, steps: int) -> None:
    """TensorBoard's own reader finds the losses, the figures and the pictures."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(run / "checkpoints" / "events"))
    reader.Reload()
    tags = set(reader.Tags()["tensors"])
    assert {"total_loss", "learning_rate", "validation/mAP@.5:.95", "validation/labels and detections"} <= tags
    assert [event.step for event in reader.Tensors("total_loss")] == list(range(1, steps + 1))
    width, height, *pictures = reader.Tensors("validation/labels and detections")[0].tensor_proto.string_val
    assert (int(width), int(height)) == (256, 128)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert len(pictures) == 2


def test_an_infinite_loss_ends_the_training_and_keeps_the_last_checkpoint(prepared, small_recipe) -> None:
    # No rate that a recipe allows is certain to diverge.
    any_rate = "from training.recipe import RANGES; RANGES.update(dict.fromkeys(RANGES, (0, 1e30)))"
    settings = ("learning_rate_base=1e30", "warmup_learning_rate=1e30")
    done = subprocess.run(
        train_command(prepared, small_recipe, *settings, before=any_rate), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "the loss is not finite at step" in done.stderr
    assert "lower learning_rate_base" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_devices_and_two_machines_train_alike(prepared, small_recipe, tmp_path) -> None:
    """Two logical CPUs stand for two GPUs of one machine, two processes on loopback for two machines.

    Both share each batch in the same way, so their losses are the same but for the order of additions.
    """
    # This decay has batch-norm statistics re-estimated after step 2, not after step 4.
    settings = ("num_steps=4", "evaluate_every=2", "early_stop_after=9", "batch_norm_decay=0.05")
    machines = tmp_path / "machines"
    shutil.copytree(prepared, machines)
    two_devices = (
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "t.choose_strategy = lambda batch_size: tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])"
    )
    subprocess.run(train_command(prepared, small_recipe, *settings, before=two_devices), check=True)
    train_on_two_machines(machines, small_recipe, *settings)
    for one, other in zip(losses(prepared), losses(machines), strict=True):
        assert one["step"] == other["step"]
        assert other["total_loss"] == pytest.approx(one["total_loss"], rel=1e-3)
    assert [entry["step"] for entry in evaluations(prepared)] == [2, 4]
    assert [entry["step"] for entry in evaluations(machines)] == [2, 4]
    for run in (prepared, machines):
        names = {path.name for path in (run / "checkpoints").iterdir()}
        assert {"ckpt-4.index", "best"} <= names
        assert not any(name.startswith(".worker") for name in names)


def train_on_two_machines(run: Path, recipe: Path, *settings: str) -> None:
    """Two processes that are told of each other by TF_CONFIG; the first of them writes."""
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{one.getsockname()[1]}" for one in (first, second)]
    clusters = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}) for index in range(2)
    ]
    processes = [
        subprocess.Popen(train_command(run, recipe, *settings), env={**os.environ, "TF_CONFIG": cluster})
        for cluster in clusters
    ]
    try:
        # The limit is for machines that wait for each other without end; a busy one may need more than five minutes.
        assert [process.wait(timeout=1200) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_the_time_of_a_resumed_training_is_the_sum_of_its_legs(tmp_path) -> None:
    from training.model.train import LOSSES, seconds_trained

    legs = [3.0, 4.0, 5.5], [0.5, 2.0], [1.0, 7.25]
    lines = [json.dumps({"step": 1, "seconds": seconds}) for leg in legs for seconds in leg]
    (tmp_path / LOSSES).write_text("\n".join(lines) + "\n")
    assert seconds_trained(tmp_path) == 5.5 + 2.0 + 7.25
