import math

import numpy as np
import pytest

from app.detector.detections import Detections
from app.photo.quality import PhotoQuality, Reason
from app.screening import MAX_BOXES_BOUNDS, THRESHOLD_BOUNDS, ClassSelection, Verdict, screen
from tests.app.detector.listed import listed

GOOD = PhotoQuality(shorter_side=300, luminance=120.0, sharpness=0.3, tissue=0.6)
NORMAL, CARIES = 1, 2


def row_of_teeth(*teeth: tuple[int, float]) -> Detections:
    """Side by side, each (class id, score)."""
    boxes = [[0.2, 0.1 * n, 0.4, 0.1 * n + 0.08] for n in range(len(teeth))]
    return listed(boxes, [score for _, score in teeth], [class_id for class_id, _ in teeth])


def ask(detections: Detections, quality: PhotoQuality = GOOD, **rules):
    return screen(detections, quality, **{"screened_class_id": CARIES, "score_threshold": 0.5, **rules})


def test_caries_at_the_threshold_is_suspected_and_normal_teeth_are_omitted() -> None:
    answer = ask(row_of_teeth((NORMAL, 0.9), (CARIES, 0.5), (CARIES, 0.499)))
    assert answer.verdict is Verdict.CARIES_SUSPECTED
    assert answer.shown.class_ids.tolist() == [CARIES]
    assert answer.teeth_seen == 3
    assert answer.reasons == ()


def test_sound_teeth_only() -> None:
    answer = ask(row_of_teeth((NORMAL, 0.9), (NORMAL, 0.8), (NORMAL, 0.7), (CARIES, 0.3)))
    assert answer.verdict is Verdict.NO_CARIES_FOUND
    assert len(answer.shown) == 0


def test_all_classes_do_not_change_the_verdict() -> None:
    teeth = row_of_teeth((NORMAL, 0.9), (NORMAL, 0.8), (NORMAL, 0.7))
    answer = ask(teeth, classes=ClassSelection.ALL)
    assert answer.verdict is Verdict.NO_CARIES_FOUND
    assert len(answer.shown) == 3


def test_a_suspect_tooth_is_not_listed_as_sound_as_well() -> None:
    here, near, there = [0.2, 0.1, 0.4, 0.2], [0.2, 0.11, 0.4, 0.21], [0.2, 0.5, 0.4, 0.6]
    both = listed([here, near, there], [0.9, 0.6, 0.8], [NORMAL, CARIES, NORMAL])
    shown = ask(both, classes=ClassSelection.ALL).shown
    assert shown.class_ids.tolist() == [NORMAL, CARIES]
    assert shown.boxes == pytest.approx(np.array([there, near]))
    assert len(ask(both, classes=ClassSelection.ALL, score_threshold=0.7).shown) == 2


def test_teeth_are_counted_before_calibration() -> None:
    teeth = row_of_teeth((NORMAL, 0.9), (NORMAL, 0.8), (NORMAL, 0.7))
    unsure = listed(teeth.boxes, teeth.scores / 3, teeth.class_ids)
    assert ask(unsure).verdict is Verdict.NOT_ASSESSABLE
    answer = ask(unsure, seen=teeth)
    assert (answer.verdict, answer.teeth_seen) == (Verdict.NO_CARIES_FOUND, 3)


def test_callers_may_ask_for_1_to_100_boxes() -> None:
    assert str(MAX_BOXES_BOUNDS) == "1 to 100"
    assert [n for n in (0, 1, 100, 101) if n in MAX_BOXES_BOUNDS] == [1, 100]
    assert [score for score in (-0.1, 0.0, 1.0, 1.1, math.nan) if score in THRESHOLD_BOUNDS] == [0.0, 1.0]


def test_max_boxes_keeps_the_highest_and_counts_the_rest() -> None:
    answer = ask(row_of_teeth(*((CARIES, 0.6 + 0.05 * n) for n in range(7))), max_boxes=5)
    assert len(answer.shown) == 5
    assert answer.hidden_by_max_boxes == 2
    assert answer.shown.scores.min() > 0.69


@pytest.mark.parametrize(
    ("teeth", "reason"),
    [
        ([], Reason.NO_TEETH_SEEN),
        ([(NORMAL, 0.2), (NORMAL, 0.3), (NORMAL, 0.3)], Reason.NO_TEETH_SEEN),
        ([(NORMAL, 0.95)], Reason.TOO_FEW_TEETH),
        ([(NORMAL, 0.639)] * 9, Reason.TOO_FEW_TEETH),
        ([(NORMAL, 0.95), (NORMAL, 0.639), (NORMAL, 0.639)], Reason.TOO_FEW_TEETH),
    ],
)
def test_too_few_teeth_are_not_assessable(teeth, reason) -> None:
    answer = ask(row_of_teeth(*teeth))
    assert answer.verdict is Verdict.NOT_ASSESSABLE
    assert answer.reasons == (reason,)


def test_a_lone_tooth_can_be_suspected() -> None:
    assert ask(row_of_teeth((CARIES, 0.9))).verdict is Verdict.CARIES_SUSPECTED
    assert ask(row_of_teeth((CARIES, 0.9), (NORMAL, 0.3))).verdict is Verdict.CARIES_SUSPECTED


def test_two_teeth_of_the_clear_score_are_enough_for_no_caries() -> None:
    assert ask(row_of_teeth(*[(NORMAL, 0.64)] * 2)).verdict is Verdict.NO_CARIES_FOUND


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (PhotoQuality(40, 120.0, 0.3, 0.6), Reason.TOO_SMALL),
        (PhotoQuality(300, 20.0, 0.3, 0.6), Reason.TOO_DARK),
        (PhotoQuality(300, 245.0, 0.3, 0.6), Reason.TOO_BRIGHT),
        (PhotoQuality(300, 120.0, 0.01, 0.6), Reason.BLURRED),
        (PhotoQuality(300, 120.0, 0.3, 0.02), Reason.NO_TISSUE_SEEN),
    ],
)
def test_an_unusable_photo_is_not_assessable_and_says_why(quality, reason) -> None:
    sound = ask(row_of_teeth(*[(NORMAL, 0.9)] * 4), quality)
    assert (sound.verdict, sound.reasons) == (Verdict.NOT_ASSESSABLE, (reason,))
    suspect = ask(row_of_teeth((CARIES, 0.9), (NORMAL, 0.9)), quality)
    assert suspect.verdict is Verdict.NOT_ASSESSABLE
    assert len(suspect.shown) == 1, "the boxes are shown nevertheless"
