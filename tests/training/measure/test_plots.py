from dataclasses import replace

from app.detector.detections import Detections
from tests.training.measure.conftest import synthetic
from training.measure.plots import write_plots
from training.measure.sources import assess_sources


def test_the_plots_are_written(tmp_path) -> None:
    photos, predictions = synthetic(4)
    several = [replace(photo, source=f"set {number % 2}") for number, photo in enumerate(photos)]
    nothing = [Detections.empty()] * 12
    for result in (
        assess_sources(photos, predictions, resamples=5),
        assess_sources(photos, nothing, resamples=5),
        assess_sources(several, predictions, resamples=5),
    ):
        paths = write_plots(result, tmp_path)
        names = {"precision_recall.png", "froc.png", "roc.png", "reliability.png", "confusion.png"}
        assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()} == names
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
