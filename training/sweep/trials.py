"""Run trials one after the other, each once: finished ones are read back, interrupted ones are resumed.

The folder of a sweep:

    records/                the photos, prepared once
    trials/NAME-HASH/       the folder of a run, and trial.json when it has ended
    results.csv, results.md rewritten after each trial
    study.log               the journal of a search, see training.sweep.search

The hash covers everything that decides the outcome: the recipe at its scale, the held-out fold and the data.
"""

import datetime
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from training.data.prepare import PHOTOS, SETS, TEETH
from training.errors import TrainingError
from training.machine import this_machine
from training.measure.predictions import predict
from training.measure.sources import assess_sources
from training.model.checkpoints import load_trained
from training.model.pretrained.start import Start
from training.model.train import LOSSES, seconds_trained
from training.output import write_file
from training.recipe import Recipe, RecipeError
from training.run import configure_step, train_step
from training.run_folder import RunError, RunFolder
from training.sweep.report import SweepError, Trial

RECORD = "trial.json"

Runner = Callable[[Path, Path, Recipe, int], dict[str, float]]
"""Records, folder of the run, recipe and held-out fold to figures by name; see `run_trial`."""

ADDED_SINCE: dict[str, Any] = {
    "rotation": 0,
    "zoom_out": 0,
    "white_balance": 0,
    "sampling": {},
    "training_share": 1,
}
"""Later keys of a recipe, left out of the hash at these values, where they change nothing, so that earlier trials keep
theirs."""

FINISHED, FAILED, REFUSED = "finished", "failed", "refused"


@dataclass(frozen=True, slots=True)
class Scale:
    """The reduction of the published trials: factors of steps, warm-up included, and of the batch size, and keys of a
    recipe that are the same in every trial."""

    steps: float = 1.0
    batch: float = 1.0
    settings: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a trial.

    Attributes:
        key: the name of its folder.
        status: `finished`, `failed` during the training, or `refused` since the recipe is not allowed.
        changes: to the base recipe, at full scale.
        recipe: as run, at the reduced scale; None if refused.
        seconds: of work over all calls; of interrupted calls, the training up to the last checkpoint.
        ended: UTC, ISO 8601.
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
    def read(cls, path: Path) -> "Outcome":
        """From the file that `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> "Outcome":
        """Write the file, and return what `read` reads from it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return Outcome.read(write_file(path, json.dumps(asdict(self), indent=2) + "\n"))


def scaled_recipe(base: Recipe, trial: Trial, scale: Scale) -> Recipe:
    """The trial's recipe at this scale, under its name. Raises RecipeError: it is not allowed."""
    recipe = Recipe.from_dict({**base.as_dict(), **trial.changes, **(scale.settings or {}), "model_name": trial.name})
    steps = max(1, round(recipe.num_steps * scale.steps))
    return replace(
        recipe,
        num_steps=steps,
        warmup_steps=min(steps, round(recipe.warmup_steps * scale.steps)),
        batch_size=max(1, round(recipe.batch_size * scale.batch)),
    )


def run_trial(records: Path, out: Path, recipe: Recipe, fold: int, *, start: Start | None = None) -> dict[str, float]:
    """Train a recipe on shared records, or resume, and return its figures on the held-out fold. Raises RunError: no
    tooth is labelled on the held-out fold."""
    folder = RunFolder(out, shared_records=records)
    configure_step(folder, recipe, validation_fold=fold, start=start)
    train_step(folder)
    photos = folder.photos_of_fold(fold)
    if not any(len(photo.class_ids) for photo in photos):
        raise RunError(f"no tooth is labelled on the photos of fold {fold}: hold out another one")
    assessment = assess_sources(photos, predict(load_trained(folder), photos))
    write_file(folder.evaluation, json.dumps({"checkpoint": assessment.as_dict()}, indent=2) + "\n")
    return {name: figure.value for name, figure in assessment.figures.items() if figure.value is not None}


def run_trial_once(
    sweep: Path,
    base: Recipe,
    trial: Trial,
    scale: Scale,
    runner: Runner,
    *,
    fold: int,
    started_from: str = "",
    retry_failed: bool = False,
) -> Outcome:
    """Run a trial in the folder of a sweep unless its outcome is known, and write the outcome; `started_from` is the
    SHA-256 of the weights that the runner starts from, if they are not the recipe's."""
    try:
        recipe = scaled_recipe(base, trial, scale)
    except RecipeError as error:
        refused = _outcome(trial, trial.name, REFUSED, error=str(error))
        return refused.write(sweep / "trials" / trial.name / RECORD)
    key = f"{trial.name}-{_identity(recipe, fold, sweep / 'records', started_from)}"
    folder = sweep / "trials" / key
    record = folder / RECORD
    if record.exists():
        known = Outcome.read(record)
        if known.status == FINISHED or not retry_failed:
            return known
    status, figures, message = FINISHED, {}, ""
    checkpoints = RunFolder(folder).checkpoints
    # The seconds of interrupted calls, as far as their steps were saved.
    before = seconds_trained(checkpoints) if (checkpoints / LOSSES).exists() else 0.0
    started = time.monotonic() - before
    try:
        figures = runner(sweep / "records", folder, recipe, fold)
    except TrainingError as error:
        status, message = FAILED, str(error)
    seconds = time.monotonic() - started
    return _outcome(trial, key, status, recipe, figures, seconds, error=message).write(record)


def known_outcomes(sweep: Path) -> list[Outcome]:
    """Every outcome in the folder of a sweep, by the names of their folders."""
    return [Outcome.read(path) for path in sorted((sweep / "trials").glob(f"*/{RECORD}"))]


def ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Finished trials by measured mAP@.5, the best first, then the others."""
    return sorted(outcomes, key=lambda item: (item.status != FINISHED, -item.figures.get("mAP@.5", 0.0), item.key))


@contextmanager
def sole_use(sweep: Path) -> Iterator[None]:
    """Lock the folder against a second sweep; the lock ends with the process. Raises SweepError: another process has
    the lock."""
    sweep.mkdir(parents=True, exist_ok=True)
    with (sweep / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SweepError(f"another sweep is running in {sweep}") from error
        yield


def _identity(recipe: Recipe, fold: int, records: Path, started_from: str) -> str:
    files = [records / name for name in (PHOTOS, SETS, TEETH) if (records / name).exists()]
    data = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else ""
    start = {"started_from": started_from} if started_from else {}
    values = {
        key: value for key, value in recipe.as_dict().items() if key not in ADDED_SINCE or value != ADDED_SINCE[key]
    }
    content = json.dumps({**values, "model_name": "", "fold": fold, "data": data, **start}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _outcome(
    trial: Trial,
    key: str,
    status: str,
    recipe: Recipe | None = None,
    figures: dict[str, float] | None = None,
    seconds: float = 0.0,
    *,
    error: str,
) -> Outcome:
    return Outcome(
        trial=trial.name,
        key=key,
        status=status,
        changes=trial.changes,
        recipe=recipe.as_dict() if recipe else None,
        figures=figures or {},
        seconds=round(seconds, 1),
        ended=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=this_machine().as_dict(),
        error=error,
        published_map50=trial.published_map50,
        published_map=trial.published_map,
    )
