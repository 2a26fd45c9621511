import pytest

from tests.training.data.labelled_elsewhere import assert_read, write_yolo, write_yolo_yaml
from training.data.annotations import AnnotationError, read_annotated_photos


@pytest.mark.parametrize("line", ["nan 0.5 0.5 0.1 0.1", "0 0.5 inf 0.1 0.1"])
def test_a_non_number_in_a_yolo_file_is_reported(photos, data, line) -> None:
    write_yolo(photos, data)
    path = min((data / "labels").glob("*.txt"))
    path.write_text(f"{line}\n")
    with pytest.raises(AnnotationError, match=f"{path.name}: line 1: needs a class and four numbers"):
        read_annotated_photos(data)


@pytest.mark.parametrize("write", [write_yolo, write_yolo_yaml])
def test_labels_of_another_program_are_read(photos, data, write) -> None:
    assert_read(photos, data, write, "yolo", 0.01)
