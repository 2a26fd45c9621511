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


class Search:
    """The study in a journal file.

    Attributes:
        study: of Optuna; its sampler draws other parameters in each call.
        storage: of the study.
    """

    def __init__(self, path: Path, *, seed: int = 0) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = JournalStorage(JournalFileBackend(str(path)))
        self.study = optuna.create_study(
            study_name="sweep", storage=self.storage, direction="maximize", load_if_exists=True
        )
        self.study.sampler = optuna.samplers.TPESampler(seed=seed + len(self.study.get_trials()))

    def interrupted(self) -> list[tuple[int, Trial]]:
        """The trials that a killed call left, by number, without those that did not have all parameters."""
        from optuna.trial import TrialState

        found = []
        for left in self.study.get_trials(states=(TrialState.RUNNING,)):
            if "changes" in left.user_attrs:
                found.append((left.number, _trial(left.number, left.user_attrs["changes"])))
            else:
                self.study.tell(left.number, state=TrialState.FAIL)
        return found

    def ended(self) -> int:
        """How many trials have ended."""
        return sum(trial.state.is_finished() and "changes" in trial.user_attrs for trial in self.study.get_trials())

    def ask(self) -> tuple[int, Trial]:
        """The next trial and its number."""
        asked = self.study.ask()
        return asked.number, drawn(asked)

    def tell(self, number: int, outcome: Outcome) -> None:
        """End the trial of this number."""
        from optuna.trial import TrialState

        if outcome.status == FINISHED:
            self.study.tell(number, outcome.figures[TARGET])
        else:
            self.study.tell(number, state=TrialState.FAIL)


def search(path: Path, count: int, run: Callable[[Trial], Outcome], *, seed: int = 0) -> None:
    """Run trials, or resume them, until `count` have ended over all calls; a resumed search draws other parameters."""
    found = Search(path, seed=seed)
    for number, trial in found.interrupted():
        found.tell(number, run(trial))
    while found.ended() < count:
        number, trial = found.ask()
        found.tell(number, run(trial))


def drawn(trial: Any) -> Trial:
    """The trial of an `optuna.Trial`, whose parameters are written to the journal."""
    changes = suggest(trial)
    trial.set_user_attr("changes", changes)
    return _trial(trial.number, changes)


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


def _trial(number: int, changes: dict[str, Any]) -> Trial:
    return Trial(f"s{number:04d}", changes)
