"""Content items of reports."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts

from app.dicom import codes


@pytest.mark.parametrize(
    "code", [one for one in vars(codes).values() if isinstance(one, codes.Code) and one[1] == "DCM"]
)
def test_codes_of_dicom_are_those_of_the_standard(code: codes.Code) -> None:
    """As pydicom has them from PS3.16."""
    known = {value: meaning for entry in concepts["DCM"].values() for value, (meaning, _) in entry.items()}
    assert known[code.value].lower() == code.meaning.lower()


def test_numbers_are_short() -> None:
    """A decimal string has up to 16 characters."""
    item = codes.number_item(codes.CONTAINS, codes.CERTAINTY, 100 / 3, codes.PERCENT)
    assert str(item.MeasuredValueSequence[0].NumericValue) == "33.33333333"
