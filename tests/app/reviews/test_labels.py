"""Labels are checked, matched one to one, and merged where readers agree."""

import pytest

from app.errors import InvalidParameter
from app.reviews.labels import CARIES, NORMAL, LabelledBox, Labels, ReaderVerdict, agreed, matches
from tests.app.reviews.samples import HEIGHT, TEETH, WIDTH, labels


def tooth(place: int, name: str = CARIES, shift: float = 0.0) -> LabelledBox:
    left, top, right, bottom = TEETH[place]
    return LabelledBox(name, left + shift, top, right + shift, bottom)


def test_a_box_is_read_and_written_as_in_the_api() -> None:
    box = LabelledBox(CARIES, 1, 2, 3, 4)
    assert box.as_dict() == {"class": "caries", "box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}
    assert LabelledBox.from_dict(box.as_dict()) == box
    assert Labels.from_json("carious", [box.as_dict()]) == Labels(ReaderVerdict.CARIOUS, (box,))


@pytest.mark.parametrize(
    ("verdict", "boxes", "says"),
    [
        ("carious", (), "the verdict is carious; it needs a box of the class caries"),
        ("carious", (tooth(0, NORMAL),), "needs a box of the class caries"),
        ("sound", (tooth(0),), "the verdict is sound; it must have no box of the class caries and has 1"),
        ("not_assessable", (tooth(0, NORMAL),), "the verdict is not_assessable; it must have no boxes and has 1"),
        ("carious", (LabelledBox(CARIES, 5, 5, 5, 9),), "box 1 is 5, 5, 5, 9; it must have an area"),
        ("carious", (tooth(0), LabelledBox(CARIES, 0, 0, WIDTH + 0.5, 9)), "box 2 is 0, 0, 160.5, 9"),
        ("carious", (LabelledBox(CARIES, 9, 9, 5, 5),), "box 1"),
        ("carious", (LabelledBox(CARIES, float("nan"), 0, 5, 5),), "box 1"),
        ("carious", 201 * (tooth(0),), "the record has 201 boxes; at most 200 are accepted"),
    ],
)
def test_labels_that_contradict_themselves_or_the_photo(verdict: str, boxes: tuple, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        Labels(ReaderVerdict(verdict), boxes).check(WIDTH, HEIGHT)


def test_labels_that_fit() -> None:
    Labels(ReaderVerdict.NOT_ASSESSABLE).check(WIDTH, HEIGHT)
    Labels(ReaderVerdict.SOUND).check(WIDTH, HEIGHT)
    Labels(ReaderVerdict.CARIOUS, (LabelledBox(CARIES, 0, 0, WIDTH, HEIGHT),)).check(WIDTH, HEIGHT)


def test_each_box_is_matched_once_and_the_best_overlap_first() -> None:
    first = [tooth(0), tooth(1)]
    second = [tooth(1, shift=1), tooth(0, shift=6), tooth(0, shift=2)]
    assert sorted(matches(first, second, 0.5)) == [(0, 2), (1, 0)]
    assert list(matches(first, second, 0.99)) == []
    assert list(matches([], second, 0.5)) == []


def test_readers_agree_on_the_mean_of_their_boxes() -> None:
    assert agreed([]) is None
    assert agreed([labels(0)]) == labels(0)
    assert agreed([labels(0), labels(0, shift=3)]) == labels(0, shift=1.5)
    assert agreed([labels(), labels()]) == labels()


def test_sound_teeth_of_one_reader_stay() -> None:
    sparse = Labels(ReaderVerdict.CARIOUS, (tooth(0),))
    merged = agreed([sparse, labels(0)])
    assert merged is not None
    assert sorted(merged.boxes) == sorted(labels(0).boxes)
    assert agreed([labels(0), sparse]) == labels(0)


@pytest.mark.parametrize(
    "other",
    [
        labels(1),
        labels(0, 1),
        labels(),
        Labels(ReaderVerdict.NOT_ASSESSABLE),
        labels(0, shift=20),
        Labels(ReaderVerdict.CARIOUS, (tooth(0), tooth(0, shift=100))),
    ],
)
def test_readers_who_differ(other: Labels) -> None:
    assert agreed([labels(0), other]) is None
    assert agreed([other, labels(0)]) is None
    assert agreed([labels(0), labels(0), other]) is None
