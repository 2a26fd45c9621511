import pytest

from tests.training.data.labelled_elsewhere import assert_read, write_voc
from training.data.annotations import AnnotationError, read_annotated_photos


def test_an_entity_bomb_is_an_error(photos, data) -> None:
    write_voc(photos, data)
    path = next((data / "Annotations").glob("*.xml"))
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    path.write_text(
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><annotation><object><name>&a12;</name></object></annotation>'
    )
    with pytest.raises(AnnotationError, match=f"{path.name}: not XML"):
        read_annotated_photos(data)


def test_labels_of_another_program_are_read(photos, data) -> None:
    assert_read(photos, data, write_voc, "voc", 1.0)
