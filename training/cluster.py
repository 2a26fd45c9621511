"""Trials and folds on the nodes of a Ray cluster; the folders must be on storage that all nodes share.

The training of a node that dies is resumed on another one, from its last checkpoint.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from training.quiet import quieten_tensorflow
from training.sweep.report import Trial
from training.sweep.search import TARGET, Search, drawn
from training.sweep.trials import FINISHED, Outcome

MAX_RETRIES = 5
"""Nodes that one training may lose."""

T = TypeVar("T")
R = TypeVar("R")


def on_nodes(ray: Any, train: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results of a training for each item, in the order in which they end.

    Args:
        ray: see `app.cluster.join`.
        train: sent to the nodes, where its module must be importable.
    """
    task = ray.remote(max_calls=1, max_retries=MAX_RETRIES, **_of_a_training(ray))(_quietly)
    running = [task.remote(train, item) for item in items]
    while running:
        ended, running = ray.wait(running)
        yield ray.get(ended[0])


def search_on_nodes(
    ray: Any,
    sweep: Path,
    count: int,
    run: Callable[[Trial], Outcome],
    *,
    seed: int = 0,
    on_outcome: Callable[[], object],
) -> None:
    """As `training.sweep.search.search`, in the same journal, with Ray Tune; calls `on_outcome` after every trial."""
    search = Search(sweep / "study.log", seed=seed)
    numbers = {trial.name: number for number, trial in search.interrupted()}
    for outcome in on_nodes(ray, run, [trial for _, trial in search.interrupted()]):
        search.tell(numbers[outcome.trial], outcome)
        on_outcome()
    if (left := count - search.ended()) <= 0:
        return
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the sweep has its own table
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    class Report(tune.Callback):  # type: ignore[misc]
        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            on_outcome()

        def on_trial_error(self, *_: Any, **__: Any) -> None:
            on_outcome()

    needs = _of_a_training(ray)
    tuner = tune.Tuner(
        tune.with_resources(partial(_tuned, run), {"cpu": needs["num_cpus"], "gpu": needs["num_gpus"]}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(
                _drawn,
                metric=TARGET,
                mode="max",
                sampler=search.study.sampler,
                study_name=search.study.study_name,
                storage=search.storage,
            ),
            num_samples=left,
            max_concurrent_trials=max(1, int(ray.cluster_resources()["CPU"] // needs["num_cpus"])),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(sweep),
            failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
            callbacks=[Report()],
            verbose=0,
        ),
    )
    tuner.fit()


def _quietly(train: Callable[[T], R], item: T) -> R:
    quieten_tensorflow()
    return train(item)


def _drawn(trial: Any) -> dict[str, Any]:
    """The trial as Ray Tune's configuration."""
    return {"trial": asdict(drawn(trial))}


def _tuned(run: Callable[[Trial], Outcome], config: dict[str, Any]) -> None:
    from ray import tune

    outcome = _quietly(run, Trial(**config["trial"]))
    if outcome.status != FINISHED:
        raise RuntimeError(outcome.error)  # the outcome is written, so that a retry fails at the same point quickly
    tune.report({TARGET: outcome.figures[TARGET]})


def _of_a_training(ray: Any) -> dict[str, float]:
    """Resources that Ray reserves for a training: the cores of the smallest node, and a GPU if there are any."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node.get("GPU")]
    return {
        "num_cpus": min(node["CPU"] for node in with_gpu or nodes if node.get("CPU")),
        "num_gpus": 1 if with_gpu else 0,
    }
