import pytest

from training.data.formats.labels import FormatError, PhotoLabels, check_file, label_of, stated_size


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"label": "caries"}, "caries"),
        ({"type": "tooth", "label": "caries"}, "caries"),
        ({"type": "tooth", "name": "caries", "surface": "occlusal"}, "caries"),
        ({"diagnosis": "caries"}, "caries"),
    ],
)
def test_the_class_is_the_preferred_or_the_only_attribute(attributes, label) -> None:
    assert label_of(attributes) == label


@pytest.mark.parametrize("attributes", [{}, {"diagnosis": "caries", "surface": "occlusal"}])
def test_attributes_that_name_no_class_are_refused(attributes) -> None:
    with pytest.raises(ValueError, match="no attribute is called label, class, name, type"):
        label_of(attributes)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(200, "150", (200, 150)), (0, 150, None), (200, None, None), ("wide", 150, None)],
)
def test_a_size_is_stated_or_not(width, height, size) -> None:
    assert stated_size(width, height) == size


def test_problems_of_the_file_come_with_those_of_its_photos() -> None:
    found = {"a.jpg": PhotoLabels(problems=["box 1: no label"]), "b.jpg": PhotoLabels()}
    check_file([], found)
    with pytest.raises(FormatError) as caught:
        check_file(["there is no image 2"], found)
    assert str(caught.value).splitlines() == ["there is no image 2", "a.jpg: box 1: no label"]
