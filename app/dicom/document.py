"""What both kinds of objects share: patient, study, series, equipment, and the file around them."""

import io

from pydicom import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from app import distribution_version
from app.dicom import MANUFACTURER
from app.dicom.source import Source
from app.dicom.uids import IMPLEMENTATION, Uids, derived_uid
from app.drawing import TEXTS
from app.screen_photo import Options, ScreenedPhoto

MODEL_NAME = "caries-screen"


def begun(
    sop_class: str, kind: str, number: int, source: Source, screened: ScreenedPhoto, options: Options, texts: str
) -> Dataset:
    """An object without content.

    Args:
        kind: distinguishes its series and UIDs from those of other kinds.
        number: of its series.
        texts: everything that its content adds, which decides the character set.
    """
    made, uids = Dataset(), Uids(source, screened, options)
    source.copy_to(made, texts + verdict_in_words(screened, options))
    made.SOPClassUID, made.SOPInstanceUID = sop_class, uids.instance(kind)
    made.SeriesInstanceUID, made.SeriesNumber = uids.series(kind), number
    made.SeriesDescription = f"Caries screening {screened.bundle.name}"[:64]
    made.InstanceNumber = source.header.get("InstanceNumber") or 1
    made.ContentDate, made.ContentTime = source.content_date_and_time
    made.Manufacturer, made.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    made.DeviceSerialNumber = screened.bundle.sha256[:16]
    made.SoftwareVersions = distribution_version()
    return made


def verdict_in_words(screened: ScreenedPhoto, options: Options) -> str:
    """The verdict with its reasons and the disclaimer, as the picture shows them."""
    words, screening = TEXTS[options.lang], screened.screening
    reasons = ", ".join(words[reason] for reason in screening.reasons)
    verdict = words[screening.verdict] + (f" ({reasons})" if reasons else "")
    return f"{verdict}. {words['disclaimer']}."


def device_uid(screened: ScreenedPhoto) -> str:
    """Of the detector as an observer."""
    return derived_uid("device", screened.bundle.sha256, screened.precision)


def as_file(made: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The object as a DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.ImplementationVersionName = f"CARIES {distribution_version()}"[:16]
    made.file_meta = meta
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()
