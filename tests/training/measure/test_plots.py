from app.detector.detections import Detections
from tests.training.measure.conftest import synthetic
from training.measure.assessment import assess
from training.measure.plots import write_plots


def test_the_plots_are_written(tmp_path) -> None:
    photos, predictions = synthetic(4)
    for result in (assess(photos, predictions, resamples=5), assess(photos, [Detections.empty()] * 12, resamples=5)):
        paths = write_plots(result, tmp_path)
        names = {"precision_recall.png", "froc.png", "roc.png", "reliability.png", "confusion.png"}
        assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()} == names
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
