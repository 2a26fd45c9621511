import json

import pytest

from tests.training.conftest import LARGER
from training.annotations import FOLDS
from training.comparison import compare_precisions, compare_sizes
from training.cross_validation import CrossValidationError


def test_the_cost_of_int8_is_measured(cross_validation) -> None:
    text = compare_precisions(cross_validation, range(FOLDS))
    assert "int8 - float32  mAP@.5: " in text
    written = json.loads((cross_validation / "int8.json").read_text())
    assert written["mAP@.5"]["interval"][0] <= written["mAP@.5"]["value"] <= written["mAP@.5"]["interval"][1]
    assert abs(written["mAP@.5"]["value"]) < 0.1


def test_the_gain_of_a_larger_input_is_measured(cross_validation) -> None:
    text = compare_sizes(cross_validation, range(FOLDS), (LARGER,))
    assert f"{LARGER} px  mAP@.5: +" in text
    written = json.loads((cross_validation / f"at_{LARGER}" / "gain.json").read_text())
    assert 0 < written["best F1 caries"]["interval"][0] <= written["best F1 caries"]["value"] < 0.3


def test_folds_that_were_not_run_there_are_named(cross_validation) -> None:
    with pytest.raises(CrossValidationError, match="fold 0 was not run at 512 pixels"):
        compare_sizes(cross_validation, range(FOLDS), (512,))
    with pytest.raises(CrossValidationError, match=r"predictions_int8.npz"):
        compare_precisions(cross_validation, range(FOLDS), sizes=(LARGER,))
