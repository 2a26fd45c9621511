"""A search over the study's parameters with Optuna's tree-structured Parzen estimator (Bergstra 2011).

Its journal file survives a `kill -9`; a trial that was running is resumed with the same parameters.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.sweep.report import Trial
from training.sweep.trials import FINISHED, Outcome

TARGET = "mAP@.5"

ASPECT_RATIOS = {"stock": (1.0, 2.0, 0.5), "study": (1.0, 2.85, 0.35), "tall": (1.0, 0.5, 0.35)}
"""The stock's, the study's final ones, and the shipped recipe's."""

RANGES: dict[str, tuple[float, float, bool]] = {
    "learning_rate_base": (0.01, 0.095, True),
    "classification_weight": (1.0, 1.5, False),
    "localization_weight": (1.0, 1.5, False),
    "iou_threshold": (0.5, 0.6, False),
    "batch_norm_epsilon": (0.001, 0.01, True),
    "anchor_scale": (2.0, 4.0, False),
}
"""Key to lowest value, highest value, and whether the scale is logarithmic: the ranges of the study."""

BATCH_NORM_DECAYS = (0.9, 0.97, 0.98, 0.998)


def search(path: Path, count: int, run: Callable[[Trial], Outcome], *, seed: int = 0) -> None:
    """Run trials, or resume them, until `count` have ended over all calls; a resumed search draws other parameters."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="sweep",
        storage=JournalStorage(JournalFileBackend(str(path))),
        direction="maximize",
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.get_trials()))
    for left in study.get_trials(states=(TrialState.RUNNING,)):
        if "changes" not in left.user_attrs:  # interrupted before it had all of them
            study.tell(left.number, state=TrialState.FAIL)
            continue
        _run(study, left.number, left.user_attrs["changes"], run)
    while sum(trial.state.is_finished() and "changes" in trial.user_attrs for trial in study.get_trials()) < count:
        asked = study.ask()
        changes = suggest(asked)
        asked.set_user_attr("changes", changes)
        _run(study, asked.number, changes, run)


def suggest(trial: Any) -> dict[str, Any]:
    """Values for a trial, from an `optuna.Trial`."""
    changes: dict[str, Any] = {
        key: trial.suggest_float(key, low, high, log=is_logarithmic)
        for key, (low, high, is_logarithmic) in RANGES.items()
    }
    changes["batch_norm_decay"] = trial.suggest_categorical("batch_norm_decay", BATCH_NORM_DECAYS)
    changes["aspect_ratios"] = ASPECT_RATIOS[trial.suggest_categorical("aspect_ratios", sorted(ASPECT_RATIOS))]
    changes["warmup_learning_rate"] = changes["learning_rate_base"] / 3
    return changes


def _run(study: Any, number: int, changes: dict[str, Any], run: Callable[[Trial], Outcome]) -> None:
    from optuna.trial import TrialState

    outcome = run(Trial(f"s{number:04d}", changes))
    if outcome.status == FINISHED:
        study.tell(number, outcome.figures[TARGET])
    else:
        study.tell(number, state=TrialState.FAIL)
