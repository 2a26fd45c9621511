"""Running trials one after the other, each once: what was finished is read back, what was killed is continued.

The folder of a sweep:

    records/                the photos, prepared once
    trials/NAME-HASH/       the folder of a run, and trial.json when it has ended
    results.csv, results.md written anew after each trial
    study.log               the search's memory, see training.sweep.search

The hash is that of everything that decides the outcome: the recipe as it is run, the held-out fold and the data.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from training.data.prepare import PHOTOS
from training.errors import TrainingError
from training.machine import this_machine
from training.model.train import LOSSES
from training.recipe import Recipe, RecipeError
from training.sweep.report import SweepError, Trial

RECORD = "trial.json"

Runner = Callable[[Path, Path, Recipe, int], dict[str, float]]
"""Records, folder of the run, recipe and held-out fold to figures by name; see `training.run.run_trial`."""

ADDED_SINCE = ("rotation", "zoom_out", "white_balance")
"""Keys that a recipe had not always; at 0 they change nothing, so that a trial of before is still the same."""

FINISHED, FAILED, REFUSED = "finished", "failed", "refused"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much smaller than published the trials are run.

    Attributes:
        steps: factor of `num_steps` and `warmup_steps`.
        batch: factor of `batch_size`.
        settings: keys of a recipe that are the same in every trial.
    """

    steps: float = 1.0
    batch: float = 1.0
    settings: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial.

    Attributes:
        trial, key: its name, and the name of its folder.
        status: `finished`, `failed` while it trained, or `refused` because no such recipe is allowed.
        changes: what differs from the base recipe, at full size.
        recipe: as it was run, reduced by the scale; None if refused.
        figures: by name; empty unless finished.
        seconds: of work on it, over all calls; of calls that were killed the training up to the last checkpoint.
        ended: UTC, ISO 8601.
        machine: `training.machine.Machine` as a dictionary.
        error: why it failed or was refused.
        published_map50, published_map: see `training.sweep.report.Trial`.
    """

    trial: str
    key: str
    status: str
    changes: dict[str, Any]
    recipe: dict[str, Any] | None
    figures: dict[str, float]
    seconds: float
    ended: str
    machine: dict[str, Any]
    error: str
    published_map50: float | None
    published_map: float | None

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """From the file that `write` left."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def scaled_recipe(base: Recipe, trial: Trial, scale: Scale) -> Recipe:
    """The trial's recipe at this scale, named after it.

    Raises:
        RecipeError: it is not allowed.
    """
    recipe = Recipe.from_dict({**base.as_dict(), **trial.changes, **(scale.settings or {}), "model_name": trial.name})
    steps = max(1, round(recipe.num_steps * scale.steps))
    return replace(
        recipe,
        num_steps=steps,
        warmup_steps=min(steps, round(recipe.warmup_steps * scale.steps)),
        batch_size=max(1, round(recipe.batch_size * scale.batch)),
    )


def run_trial_once(
    sweep: Path, base: Recipe, trial: Trial, scale: Scale, runner: Runner, *, fold: int, retry_failed: bool = False
) -> Outcome:
    """Runs a trial unless its outcome is known, and keeps the outcome.

    Args:
        sweep: folder of the sweep, with its records.
        base: the recipe that the trial changes.
        trial: what to train.
        scale: how much smaller.
        runner: trains and measures.
        fold: held out.
        retry_failed: whether a trial that failed is tried again.
    """
    try:
        recipe = scaled_recipe(base, trial, scale)
    except RecipeError as error:
        outcome = _outcome(trial, trial.name, REFUSED, None, {}, 0.0, str(error))
        folder = sweep / "trials" / trial.name
        folder.mkdir(parents=True, exist_ok=True)
        outcome.write(folder / RECORD)
        return outcome
    key = f"{trial.name}-{_identity(recipe, fold, sweep / 'records')}"
    folder = sweep / "trials" / key
    record = folder / RECORD
    if record.exists():
        outcome = Outcome.read(record)
        if outcome.status == FINISHED or not retry_failed:
            return outcome
    started = time.monotonic() - _seconds_before(folder)
    try:
        figures = runner(sweep / "records", folder, recipe, fold)
        outcome = _outcome(trial, key, FINISHED, recipe, figures, time.monotonic() - started, "")
    except TrainingError as error:
        outcome = _outcome(trial, key, FAILED, recipe, {}, time.monotonic() - started, str(error))
    folder.mkdir(parents=True, exist_ok=True)
    outcome.write(record)
    return Outcome.read(record)


def known_outcomes(sweep: Path) -> list[Outcome]:
    """Every outcome in the folder of a sweep, by the names of their folders."""
    return [Outcome.read(path) for path in sorted((sweep / "trials").glob(f"*/{RECORD}"))]


@contextmanager
def sole_use(sweep: Path) -> Iterator[None]:
    """Keeps a second sweep out of the folder; the lock ends with the process, however it ends.

    Raises:
        SweepError: another process holds it.
    """
    sweep.mkdir(parents=True, exist_ok=True)
    with (sweep / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SweepError(f"another sweep is at work in {sweep}") from error
        yield


def _seconds_before(folder: Path) -> float:
    """Seconds that calls that were killed trained for, as far as their steps are kept."""
    path = folder / "checkpoints" / LOSSES
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    seconds = [float(json.loads(line)["seconds"]) for line in lines]
    # The clock starts anew with each call, so the last line of each has the time of its call.
    return sum(value for value, following in pairwise([*seconds, 0.0]) if following < value)


def _identity(recipe: Recipe, fold: int, records: Path) -> str:
    photos = records / PHOTOS
    data = hashlib.sha256(photos.read_bytes()).hexdigest() if photos.exists() else ""
    values = {key: value for key, value in recipe.as_dict().items() if value or key not in ADDED_SINCE}
    content = json.dumps({**values, "model_name": "", "fold": fold, "data": data}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _outcome(
    trial: Trial,
    key: str,
    status: str,
    recipe: Recipe | None,
    figures: dict[str, float],
    seconds: float,
    error: str,
) -> Outcome:
    return Outcome(
        trial=trial.name,
        key=key,
        status=status,
        changes=trial.changes,
        recipe=recipe.as_dict() if recipe else None,
        figures=figures,
        seconds=round(seconds, 1),
        ended=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=this_machine().as_dict(),
        error=error,
        published_map50=trial.published_map50,
        published_map=trial.published_map,
    )


def ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Finished trials by measured mAP@.5, the best first, then the others."""
    return sorted(outcomes, key=lambda item: (item.status != FINISHED, -item.figures.get("mAP@.5", 0.0), item.key))
