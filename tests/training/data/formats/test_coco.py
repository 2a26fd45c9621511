from tests.training.data.labelled_elsewhere import assert_read, write_coco


def test_labels_of_another_program_are_read(photos, data) -> None:
    assert_read(photos, data, write_coco, "coco", 0.01)
