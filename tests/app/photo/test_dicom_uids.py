"""The UIDs of the photos that are read, against pydicom's dictionary."""

from __future__ import annotations

from pydicom.uid import UID

from app.photo.dicom_uids import SOP_CLASSES, TRANSFER_SYNTAXES


def test_names_are_those_of_the_standard() -> None:
    for uid, name in SOP_CLASSES.items():
        assert UID(uid).name == f"{name} Storage"


def test_transfer_syntaxes_are_those_of_pictures() -> None:
    assert len(set(TRANSFER_SYNTAXES)) == 10
    for uid in TRANSFER_SYNTAXES:
        assert UID(uid).is_transfer_syntax
        assert not UID(uid).is_deflated
