"""Seconds a step of `python -m training train` beside the Object Detection API's own loop, on the same configuration.

    python benchmarks/training_speed.py --run RUN [--steps 60] [--rounds 3]

`RUN` is the folder of a configured run (`python -m training configure`); its records, configuration and pretrained
weights are used as they are. Each loop runs in a process of its own, in turns. The API's is called as its
`model_main_tf2.py` calls it, under `MirroredStrategy`, with its summaries. Steps are timed in stretches of
`STRETCH`, and the fastest stretch counts: start-up and tracing are no part of it, and other work on the machine
disturbs it least. Decoding and augmentation are measured alone as well, and the loop once on a batch that stays in
memory, which tells what the input costs while the processor computes. What `training.model.augmentation` does to photos
is no part of the API's loop: a run whose recipe asks for it compares `train` with a loop that does less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from training.machine import this_machine
from training.model.augmentation import Augmentation
from training.run_folder import RunFolder

STRETCH = 6
"""Steps that are timed together."""

WORKERS = ("api", "ours", "in memory", "input of the api", "our input")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a configured run")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        with tempfile.TemporaryDirectory() as folder:
            value = measure(arguments.worker, RunFolder(arguments.run), Path(folder), arguments.steps)
        print(json.dumps(value))
        return
    results: dict[str, list[float]] = {name: [] for name in WORKERS}
    for _ in range(arguments.rounds):
        for name in WORKERS:
            command = [sys.executable, __file__, "--run", str(arguments.run), "--steps", str(arguments.steps)]
            done = subprocess.run([*command, "--worker", name], stdout=subprocess.PIPE, text=True, check=True)
            results[name].append(float(done.stdout.splitlines()[-1]))
            print(f"{name}: {results[name][-1]:.3f} s", file=sys.stderr)
    report(arguments.run, results, arguments.steps)


def report(run: Path, results: dict[str, list[float]], steps: int) -> None:
    """Prints medians and ratios as Markdown."""
    from training.model.configure import input_size_of, parse_pipeline

    pipeline = parse_pipeline((run / "pipeline.config").read_text(encoding="utf-8"))
    median = {name: statistics.median(values) for name, values in results.items()}
    print(
        f"{this_machine()}; batch {pipeline.train_config.batch_size}, {input_size_of(pipeline)[0]} pixels, {steps} "
        f"steps, median of {len(results['ours'])} rounds of the fastest {STRETCH} steps in a row\n"
    )
    rows = [
        ("the API's loop", median["api"], "seconds a step"),
        ("`train`", median["ours"], "seconds a step"),
        ("`train` on a batch that stays in memory", median["in memory"], "seconds a step"),
        ("decoding and augmenting a batch, the API's input alone", median["input of the api"], "seconds a batch"),
        ("decoding and augmenting a batch, `train`'s input alone", median["our input"], "seconds a batch"),
    ]
    print("| what | seconds |\n|---|---|")
    for name, value, unit in rows:
        print(f"| {name}, {unit} | {value:.3f} |")
    print(f"\n`train` does {median['api'] / median['ours']:.2f} times the steps of the API's loop in the same time;")
    print(f"its input costs {max(0.0, median['ours'] / median['in memory'] - 1):.0%} of a step that needs none.")


def measure(worker: str, run: RunFolder, out: Path, steps: int) -> float:
    """Seconds a step, or a batch."""
    import training.compat  # noqa: F401  isort: skip
    from object_detection.utils import config_util

    config, augmentation = run.pipeline_config, run.configured()[0].augmentation
    configs = config_util.get_configs_from_pipeline_file(str(config))
    configs["train_config"].num_steps = steps
    if worker == "api":
        return measure_api(config, out, steps)
    if worker in ("ours", "in memory"):
        return measure_ours(config, augmentation, out, steps, in_memory=worker == "in memory")
    return measure_input(configs, augmentation, steps, of_the_api=worker == "input of the api")


def measure_api(config: Path, out: Path, steps: int) -> float:
    import tensorflow as tf
    from object_detection import model_lib_v2

    speeds: dict[str, float] = {}
    with tf.distribute.MirroredStrategy().scope():
        model_lib_v2.train_loop(
            str(config),
            str(out),
            train_steps=steps,
            checkpoint_every_n=10 * steps,
            num_steps_per_iteration=STRETCH,
            performance_summary_exporter=lambda metrics, _: speeds.update(metrics),
        )
    return 1 / speeds["steps_per_sec_max"]


def measure_ours(config: Path, augmentation: Augmentation, out: Path, steps: int, *, in_memory: bool) -> float:
    from google.protobuf import text_format

    from training.model import train as loop
    from training.model.configure import parse_pipeline

    pipeline = parse_pipeline(config.read_text(encoding="utf-8"))
    pipeline.train_config.num_steps = steps
    own = out / "pipeline.config"
    own.write_text(text_format.MessageToString(pipeline), encoding="utf-8")
    if in_memory:
        batches = loop.training_batches

        def repeated(*arguments: Any, **options: Any) -> Any:
            return batches(*arguments, **options).take(1).cache().repeat()

        loop.training_batches = repeated
    schedule = loop.Schedule(seed=1, checkpoint_every=10 * steps)
    loop.train(own, out / "checkpoints", schedule, augmentation=augmentation)
    lines = [json.loads(line) for line in (out / "checkpoints" / "losses.jsonl").read_text().splitlines()]
    return fastest([line["seconds"] for line in lines])


def measure_input(configs: dict[str, Any], augmentation: Augmentation, steps: int, *, of_the_api: bool) -> float:
    from object_detection import inputs
    from object_detection.builders import model_builder

    from training.model.batches import training_batches

    model = model_builder.build(configs["model"], is_training=True)
    if of_the_api:
        batches = inputs.train_input(
            train_config=configs["train_config"],
            train_input_config=configs["train_input_config"],
            model_config=configs["model"],
            model=model,
        )
    else:
        batches = training_batches(configs, model, seed=1, first_step=0, augmentation=augmentation)
    times = []
    for _ in batches.take(steps):
        times.append(time.monotonic())
    return fastest(times)


def fastest(times: list[float]) -> float:
    """Seconds a step in the fastest stretch, of the times at which steps ended."""
    ends = times[STRETCH - 1 :: STRETCH]
    return min(end - start for start, end in pairwise(ends)) / STRETCH


if __name__ == "__main__":
    main()
