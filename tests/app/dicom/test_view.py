"""Codes of what a photo shows, as ADA Standard 1100 asks for, in the objects."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from app.detector.bundle import Bundle
from app.dicom.codes import Code
from app.dicom.objects import build_objects
from app.dicom.source import MAX_CODES_BYTES
from tests.app.dicom.answers import OPTIONS, assert_conforms, screened, source
from tests.app.photo import dicom_files

MOUTH = Code("123851003", "SCT", "Mouth")
BUCCAL = Code("79011009", "SCT", "Structure of buccal space")
ALVEOLAR = Code("38754007", "SCT", "alveolar process of mandible")
INFERIOR = Code("261089000", "SCT", "Inferior")
RIGHT = Code("24028007", "SCT", "Right")
VIEW = Code("260421001", "SCT", "Projection, right")
MIRRORED = Code("112104", "DCM", "Image mirrored, uncorrected")


def coded(code: Code, **modifiers: Code) -> Dataset:
    item = code.item()
    for name, modifier in modifiers.items():
        setattr(item, name, [modifier.item()])
    return item


def view() -> dict[str, Any]:
    """IV02 of ADA Standard 1100, with a mirror, as dicom4ortho 0.5 writes it, and further codes."""
    return {
        "AnatomicRegionSequence": [coded(MOUTH, AnatomicRegionModifierSequence=INFERIOR)],
        "PrimaryAnatomicStructureSequence": [
            coded(BUCCAL, PrimaryAnatomicStructureModifierSequence=RIGHT),
            coded(ALVEOLAR),
        ],
        "ViewCodeSequence": [coded(VIEW, ViewModifierCodeSequence=MIRRORED)],
        "ImageLaterality": "R",
        "PatientOrientation": ["P", "F"],
    }


def answers(bundle: Bundle, data: bytes) -> tuple[Dataset, Dataset, list[bytes]]:
    """The report, the picture, and both as files."""
    files = build_objects(source(data), screened(bundle), OPTIONS)
    report, picture = (dcmread(io.BytesIO(one)) for one in files)
    return report, picture, files


def library(report: Dataset) -> list[Dataset]:
    """The description of the photo in the report's image library."""
    (found,) = [one for one in report.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == "111028"]
    return list(found.ContentSequence[0].ContentSequence[0].ContentSequence)


def outline(items: list[Dataset]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Concept, code and modifiers of content items."""

    def coded_as(item: Dataset) -> tuple[str, str]:
        return item.ConceptNameCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodeValue

    assert {item.RelationshipType for item in items} == {"HAS ACQ CONTEXT"}
    modifiers = [list(item.get("ContentSequence") or []) for item in items]
    assert {one.RelationshipType for each in modifiers for one in each} <= {"HAS CONCEPT MOD"}
    return [(*coded_as(item), [*map(coded_as, below)]) for item, below in zip(items, modifiers, strict=True)]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("undefined", [False, True])
def test_codes_are_carried_over(shipped_bundle: Bundle, tmp_path: Path, syntax: str, undefined: bool) -> None:
    made = dicom_files.dataset(**view())
    for name in ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "ViewCodeSequence"):
        made[name].is_undefined_length = undefined
    report, picture, files = answers(shipped_bundle, dicom_files.written(made, syntax, pixels=bytes(64 * 48 * 3)))
    for name, value in view().items():
        assert picture[name].value == ([VIEW.item()] if name == "ViewCodeSequence" else value)
    assert outline(library(report)) == [
        ("121139", "XC", []),
        ("123014", MOUTH.value, [("106233006", INFERIOR.value)]),
        ("91723000", BUCCAL.value, [("106233006", RIGHT.value)]),
        ("91723000", ALVEOLAR.value, []),
        ("111027", RIGHT.value, []),
        ("111031", VIEW.value, [("111032", MIRRORED.value)]),
    ]
    for one in files:
        assert_conforms(one, tmp_path)


def test_a_photo_without_codes_is_answered_without(shipped_bundle: Bundle) -> None:
    report, picture, _ = answers(shipped_bundle, dicom_files.jpeg())
    assert len(library(report)) == 1
    assert not {*view()} - {"PatientOrientation"} & {*picture.dir()}
    assert not picture.PatientOrientation


@pytest.mark.parametrize(
    ("given", "side"),
    [
        ({"Laterality": "R"}, "R"),
        ({"Laterality": "R", "ImageLaterality": "L"}, "L"),
        ({"BodyPartExamined": "TOOTH"}, ""),
        ({}, None),
    ],
)
def test_laterality_is_that_of_the_photo_or_its_series(
    shipped_bundle: Bundle, tmp_path: Path, given: dict[str, Any], side: str | None
) -> None:
    report, picture, files = answers(shipped_bundle, dicom_files.jpeg(**given))
    assert picture.get("ImageLaterality") == side
    assert "Laterality" not in picture
    described = [item.ConceptCodeSequence[0].CodeMeaning for item in library(report)[1:]]
    assert described == ([{"R": "Right", "L": "Left"}[side]] if side else [])
    for one in files:
        assert_conforms(one, tmp_path)


def test_only_codes_are_carried_over(shipped_bundle: Bundle) -> None:
    item = coded(VIEW, ViewModifierCodeSequence=MIRRORED)
    item.PatientComments, item.CodingSchemeVersion = "Hong", "2026"
    made = dicom_files.jpeg(ViewCodeSequence=[Dataset(), item], AnatomicRegionSequence=[])
    report, picture, files = answers(shipped_bundle, made)
    (code,) = picture.ViewCodeSequence
    assert sorted(code.dir()) == [*("CodeMeaning", "CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion")]
    assert "AnatomicRegionSequence" not in picture
    assert library(report)[-1].ConceptCodeSequence[0].CodingSchemeVersion == "2026"
    assert not any(b"Hong" in one.replace(b"Hong^Gildong", b"") for one in files)


def test_meanings_in_the_photos_character_set(shipped_bundle: Bundle) -> None:
    korean = Code(MOUTH.value, "SCT", "구강")
    made = dicom_files.jpeg(SpecificCharacterSet=["", "ISO 2022 IR 149"], AnatomicRegionSequence=[coded(korean)])
    report, picture, _ = answers(shipped_bundle, made)
    assert picture.AnatomicRegionSequence[0].CodeMeaning == "구강"
    assert library(report)[1].ConceptCodeSequence[0].CodeMeaning == "구강"


def test_damaged_and_hostile_sequences_are_left_out(shipped_bundle: Bundle) -> None:
    many = dicom_files.jpeg(ViewCodeSequence=[coded(VIEW) for _ in range(MAX_CODES_BYTES // 32)])
    good = dicom_files.jpeg(ViewCodeSequence=[coded(VIEW)])
    at = good.index(VIEW.value.encode())
    damaged = good[: at - 2] + b"\xff\x00" + good[at:]
    text = dicom_files.dataset()
    text.add_new(0x00540220, "LO", "view")
    for data in (many, damaged, dicom_files.written(text, pixels=bytes(64 * 48 * 3))):
        report, picture, _ = answers(shipped_bundle, data)
        assert "ViewCodeSequence" not in picture
        assert len(library(report)) == 1
