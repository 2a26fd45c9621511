import pytest

from tests.training.conftest import LARGER
from training.measure.out_of_fold import CrossValidationError, fold_folder, read_out_of_fold
from training.measure.predictions import load_predictions


def test_each_photo_has_the_detections_of_its_own_fold(cross_validation) -> None:
    found = read_out_of_fold(cross_validation, [3, 1])
    assert [photo.fold for photo in found.photos] == [3, 3, 1, 1]
    for photo, detections in zip(found.photos, found.predictions, strict=True):
        kept = load_predictions(fold_folder(cross_validation, photo.fold).path / "predictions.npz")
        assert detections.scores.tolist() == kept[photo.path.name].scores.tolist()


def test_folds_that_were_not_run_there_are_named(cross_validation) -> None:
    with pytest.raises(CrossValidationError, match="fold 0 was not run at 512 pixels"):
        read_out_of_fold(cross_validation, sizes=(512,))
    with pytest.raises(CrossValidationError, match=r"predictions_int8.npz"):
        read_out_of_fold(cross_validation, precision="int8", sizes=(LARGER,))
