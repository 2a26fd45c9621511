from pathlib import Path

import numpy as np
import pytest

from app.detector.detections import Detections
from training.data.annotations import AnnotatedPhoto
from training.measure.opinions import caries_among_teeth, class_figures, detector_opinion

BOXES = np.array([[0.1, 0.1, 0.4, 0.3], [0.1, 0.4, 0.4, 0.6], [0.1, 0.7, 0.4, 0.9]], np.float32)


def test_a_detector_has_an_opinion_of_the_teeth_it_found() -> None:
    photo = AnnotatedPhoto(Path("a.jpg"), 100, 100, BOXES, np.array([1, 2, 2], np.int32), "a", 0)
    seen = Detections(BOXES[[0, 0, 1]], np.array([0.8, 0.2, 0.6]), np.array([1, 2, 2]))
    opinion = detector_opinion(photo, seen)
    assert opinion[0] == pytest.approx(2 * np.log(0.2 / 0.8))
    assert opinion[1] > 0
    assert np.isnan(opinion[2])
    assert np.isnan(detector_opinion(photo, Detections.empty())).all()


def test_figures_leave_out_what_has_no_opinion() -> None:
    opinions = [np.array([0.5, -0.5, np.nan]), np.array([0.2, 0.1])]
    labels = [np.array([True, False, True]), np.array([True, False])]
    figures = {name: value for name, (value, _) in class_figures(opinions, labels, threshold=0.0, resamples=20).items()}
    assert figures == {"class right": 0.75, "caries right": 1.0, "normal right": 0.5, "AUC": 1.0}


def test_caries_among_teeth_leaves_out_no_tooth() -> None:
    assert caries_among_teeth(np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]])) == pytest.approx([0.5, 0.25])
