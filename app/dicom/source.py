"""What the objects take over from a DICOM photo: its patient, its study, and references to it."""

import hashlib
import io
import logging
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from app.dicom.view import MODIFIERS, PLAIN, read_codes
from app.errors import UnreadablePhoto
from app.photo.dicom_file import DicomFile, read_structure

# Its warnings repeat values, such as a patient's name.
warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").disabled = True
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE

PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "OtherPatientIDs"),
    *("PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod"),
)
STUDY = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("StudyDescription", "TimezoneOffsetFromUTC"),
)
COPIED = (*PATIENT, *STUDY)
"""Attributes that the objects have with the photo's values, if it has them."""

DEIDENTIFICATION = "DeidentificationMethodCodeSequence"
"""A sequence of codes that they have too."""

EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
"""Those of them that every object must have, if need be without a value."""

CHARSET = "SpecificCharacterSet"
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

DATES = ("Content", "Acquisition", "Series", "Study")
"""What the date and time of the objects come from, the first that is given."""

READ = (
    *dict.fromkeys((*REQUIRED, *COPIED, *(f"{name}{part}" for name in DATES for part in ("Date", "Time")))),
    *(CHARSET, "Modality", "InstanceNumber", "BodyPartExamined", *PLAIN),
)
"""Attributes that pydicom may read."""

MAX_VALUE_BYTES = 2**10
"""Of such an attribute. A name in three writings of 64 characters takes fewer."""

MAX_CODES_BYTES = 2**12
"""Of a sequence of codes; a longer one is not carried over."""

UTF_8 = "ISO_IR 192"

MULTI_BYTE = frozenset({"ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 159"})
"""Character sets that extend another (PS3.5, 6.1.2.5), which is the empty value if they stand alone."""

MISSPELT = {b"ISO_IR 149": b"ISO 2022 IR 149", b"ISO IR 149": b"ISO 2022 IR 149"}
"""Names of the Korean character set that devices write, and pydicom takes for another's."""


@dataclass(frozen=True, slots=True)
class Source:
    """A DICOM photo.

    Attributes:
        header: its elements of `READ`, and its sequences of codes.
        frame: which one is answered, from 1; None if it has only one.
        sha256: of its bytes.
    """

    header: Dataset
    frame: int | None
    sha256: str

    @property
    def content_date_and_time(self) -> tuple[str, str]:
        """When the photo was taken, or else stored; the objects have it, so that equal questions give equal bytes."""
        for name in DATES:
            date = str(self.header.get(f"{name}Date") or "")
            if len(date) == 8 and date.isdecimal():
                return date, str(self.header.get(f"{name}Time") or "") or "000000"
        return "19000101", "000000"

    def reference(self) -> Dataset:
        """An item that refers to the photo, or to its frame."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.header.SOPClassUID
        item.ReferencedSOPInstanceUID = self.header.SOPInstanceUID
        if self.frame is not None:
            item.ReferencedFrameNumber = self.frame
        return item

    def copy_to(self, made: Dataset, texts: str) -> None:
        """Copy patient and study, in the photo's character set if that has the characters of `texts`, else in UTF-8."""
        charset = _extended(self.header.get(CHARSET))
        if not _has(charset, texts):
            charset = UTF_8
        if charset:
            made.SpecificCharacterSet = charset
        for name in COPIED:
            if name in self.header:
                setattr(made, name, self.header[name].value)
            elif name in EMPTY:
                setattr(made, name, "")
        if DEIDENTIFICATION in self.header:
            setattr(made, DEIDENTIFICATION, self.header[DEIDENTIFICATION].value)


def read_source(data: bytes, frame: int | None) -> Source:
    """The photo in a DICOM file.

    Raises:
        PhotoError: as `app.photo.dicom_file.read_structure`, whose limits pydicom does not have; UnreadablePhoto also
            for a file without the identifiers of study, series and instance.
    """
    file = read_structure(data)
    several, elements = file.frames > 1, b"".join(_element(file, name) for name in READ)
    try:
        header = _read(file, elements)
        for name in (*MODIFIERS, DEIDENTIFICATION):
            if items := _codes(file, name, elements):
                setattr(header, name, items)
        missing = [name for name in REQUIRED if not UID(str(header.get(name) or "")).is_valid]
    except Exception:  # of any kind for damaged elements, with their values
        raise UnreadablePhoto("the DICOM file's header is damaged") from None
    if missing:
        raise UnreadablePhoto(f"the DICOM file has no valid {missing[0]}, to which an answer in DICOM refers")
    return Source(header, frame if several else None, hashlib.sha256(data).hexdigest())


def _read(file: DicomFile, elements: bytes) -> Dataset:
    return read_dataset(io.BytesIO(elements), not file.encoding.explicit, file.encoding.little)


def _codes(file: DicomFile, name: str, elements: bytes) -> list[Dataset]:
    """The items of a sequence of codes, read in the character set of `elements`; none if it is damaged or too long."""
    tag = tag_for_keyword(name) or 0
    start, end = file.sequences.get(tag, (0, 0))
    if not 0 < end - start <= MAX_CODES_BYTES:
        return []
    try:
        return read_codes(_read(file, elements + file.data[start:end])[name].value, MODIFIERS.get(name, ""))
    except Exception:  # of any kind for damaged elements
        return []


def _element(file: DicomFile, name: str) -> bytes:
    """The bytes of an element of `READ`; empty if the file does not have it.

    pydicom takes seconds and gigabytes for a hostile value, such as a sequence in place of a name.
    """
    tag = tag_for_keyword(name)
    if tag is None or tag not in file.values:
        return b""
    (at, length), expected = file.values[tag], dictionary_VR(tag)
    if length > MAX_VALUE_BYTES or file.representations[tag] not in (b"", expected.encode()):
        raise UnreadablePhoto(
            f"the DICOM file's {name} has {length} bytes or another type; at most {MAX_VALUE_BYTES} of {expected} are"
            " accepted for an answer in DICOM"
        )
    if name == CHARSET:
        return _with_charset(file, at, length)
    return file.data[at - 8 : at + length]


def _with_charset(file: DicomFile, at: int, length: int) -> bytes:
    """The element with the character sets, each by its right name."""
    values = [value.strip(b" \0") for value in file.data[at : at + length].split(b"\\")]
    named = b"\\".join(MISSPELT.get(value, value) for value in values)
    named += b" " * (len(named) % 2)
    size = 2 if file.encoding.explicit else 4
    order: Literal["little", "big"] = "little" if file.encoding.little else "big"
    return file.data[at - 8 : at - size] + len(named).to_bytes(size, order) + named


def _extended(charset: Any) -> Any:
    """The character sets with an empty value in front of those of `MULTI_BYTE`, which are then written with escapes."""
    values = [charset] if isinstance(charset, str) else [*(charset or ())]
    return ["", *values] if values and values[0] in MULTI_BYTE else charset


def _has(charset: object, texts: str) -> bool:
    """Whether a character set has all characters of these texts."""
    if texts.isascii():
        return True
    from pydicom.charset import convert_encodings

    encodings = convert_encodings(charset)
    for encoding in encodings:
        try:
            texts.encode(encoding)
        except (UnicodeError, LookupError):
            continue
        return True
    return False
