"""The codes of a photo for what it shows: anatomic region and structure, and view, as in ADA Standard 1100.

PS3.3, 10.5 (anatomy), and TID 1602 of PS3.16 (descriptions of an image in a report).
"""

from collections.abc import Iterable

from pydicom import Dataset

from app.dicom import codes

REGION, STRUCTURE, VIEW = "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "ViewCodeSequence"
MODIFIERS = {
    REGION: "AnatomicRegionModifierSequence",
    STRUCTURE: "PrimaryAnatomicStructureModifierSequence",
    VIEW: "ViewModifierCodeSequence",
}
"""The sequences that are carried over, and the one in their items that modifies them."""

PLAIN = ("PatientOrientation", "ImageLaterality", "Laterality")
"""Further attributes that are carried over, which have no codes."""

CODE = ("CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")
LATERALITIES = {
    "R": codes.Code("24028007", "SCT", "Right"),
    "L": codes.Code("7771000", "SCT", "Left"),
    "B": codes.Code("51440002", "SCT", "Right and left"),
    "U": codes.Code("66459002", "SCT", "Unilateral"),
}
"""By the value of Image Laterality; U is unpaired (CID 244)."""


def read_codes(items: Iterable[Dataset], modifiers: str = "") -> list[Dataset]:
    """The items of a code sequence that have a code, with nothing but it and the sequence that modifies it."""
    found = []
    for item in items:
        made = Dataset()
        for part in CODE:
            if value := item.get(part):
                setattr(made, part, str(value))
        if "CodeMeaning" not in made or not any(part in made for part in CODE[:3]):
            continue
        if modifiers and (inner := read_codes(item.get(modifiers) or [])):
            setattr(made, modifiers, inner)
        found.append(made)
    return found


def copy_codes(header: Dataset, made: Dataset) -> None:
    """Copy codes and orientation of the photo `header` to an image of the same pixel matrix.

    The modifiers of the view are in the report only: dciodvfy calls them content items without a name here.
    """
    for name in (*MODIFIERS, "PatientOrientation"):
        if value := header.get(name):
            setattr(made, name, read_codes(value) if name == VIEW else value)
    if (side := laterality(header)) or header.get("BodyPartExamined"):
        made.ImageLaterality = side


def laterality(header: Dataset) -> str:
    """Of the photo `header`, or of its series; empty if neither is given.

    Laterality itself must be there for a paired part of the body and must not for any other (PS3.3, C.7.3.1), unless
    Image Laterality is there, which fits both.
    """
    return str(header.get("ImageLaterality") or header.get("Laterality") or "")


def described(header: Dataset) -> list[Dataset]:
    """Content items of a report that describe the photo `header`.

    TID 1602 has a place for one region and one view. It may be extended; modifiers of the region, and structures with
    theirs, are as those of a finding site in TID 1410.
    """
    found = _described(header, REGION, codes.TARGET_REGION, codes.TOPOGRAPHICAL_MODIFIER)[:1]
    found += _described(header, STRUCTURE, codes.STRUCTURE, codes.TOPOGRAPHICAL_MODIFIER)
    if side := LATERALITIES.get(laterality(header)):
        found.append(codes.code_item(codes.ACQUISITION, codes.IMAGE_LATERALITY, side))
    return found + _described(header, VIEW, codes.IMAGE_VIEW, codes.IMAGE_VIEW_MODIFIER)[:1]


def _described(header: Dataset, name: str, concept: codes.Code, modifier: codes.Code) -> list[Dataset]:
    """A content item of this concept for each code of a sequence, with its modifiers below it."""
    found = []
    for code in header.get(name) or []:
        item = codes.coded_item(codes.ACQUISITION, concept, read_codes([code])[0])
        if modifiers := code.get(MODIFIERS[name]):
            item.ContentSequence = [codes.coded_item(codes.MODIFIER, modifier, each) for each in modifiers]
        found.append(item)
    return found
