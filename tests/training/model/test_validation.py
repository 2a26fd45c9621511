import pytest

from training.model.validation import Evaluation, EvaluationLog

pytestmark = pytest.mark.slow


def test_the_log_drops_evaluations_after_the_checkpoint(tmp_path) -> None:
    path = tmp_path / "evaluations.jsonl"
    log = EvaluationLog(path, up_to_step=0)
    for step, value in ((10, 0.1), (20, 0.3), (30, 0.2), (40, 0.2)):
        log.add(Evaluation(step, {"mAP@.5:.95": value}))
    assert log.best is not None
    assert (log.best.step, log.since_best) == (20, 2)
    again = EvaluationLog(path, up_to_step=30)
    assert again.best is not None
    assert (again.best.step, again.since_best) == (20, 1)
    assert path.read_text().count("\n") == 3
