import json
import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize("kill_after", [12])
def test_a_killed_training_continues_from_its_last_checkpoint(rendered_data, tiny_recipe, tmp_path, kill_after) -> None:
    """`kill -9` in the middle, then the same command again: no step is lost but those since the last checkpoint."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(tiny_recipe.read_text().replace("num_steps = 20", "num_steps = 24"))
    out = tmp_path / "run"
    arguments = ["--data", str(rendered_data), "--out", str(out), "--recipe", str(recipe), "--from-scratch"]
    subprocess.run([sys.executable, "-m", "training", "prepare", *arguments], check=True)
    command = [
        sys.executable,
        "-c",
        f"import sys; import training.train as t; t.CHECKPOINT_EVERY = 5; "
        f"from training.cli import main; sys.exit(main({['train', *arguments]!r}))",
    ]
    losses = out / "checkpoints" / "losses.jsonl"
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if losses.exists() and len(losses.read_text().splitlines()) >= kill_after:
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    killed_at = len(losses.read_text().splitlines())
    assert kill_after <= killed_at < 24
    subprocess.run(command, check=True)
    steps = [json.loads(line)["step"] for line in losses.read_text().splitlines()]
    resumed_from = steps[killed_at]
    assert resumed_from in (11, 16, 21), "the step after a checkpoint"
    assert steps[killed_at:] == list(range(resumed_from, 25))
