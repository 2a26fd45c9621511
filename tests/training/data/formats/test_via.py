import pytest

from tests.training.data.labelled_elsewhere import assert_read, write_via_csv, write_via_project


@pytest.mark.parametrize(
    ("name", "write", "pixels"), [("via-project", write_via_project, 1.0), ("via-csv", write_via_csv, 0.01)]
)
def test_labels_of_another_program_are_read(photos, data, name, write, pixels) -> None:
    assert_read(photos, data, write, name, pixels)
