"""The answers in DICOM to one photo: a structured report, alone or with the annotated picture."""

from app.admission import Admission
from app.api.negotiation import DICOM_TYPES, Format
from app.dicom.related import join_related
from app.errors import NotAcceptable
from app.photo.formats import PhotoFormat, format_name
from app.screen_photo import Options, ScreenedPhoto

DICOM = DICOM_TYPES[Format.DICOM]


async def dicom_body(
    chosen: Format, data: bytes, screened: ScreenedPhoto, options: Options, admission: Admission
) -> tuple[bytes, str]:
    """The body and its Content-Type: a report, or report and picture as parts (RFC 2387).

    Args:
        data: the photo as sent.

    Raises:
        NotAcceptable: the photo is not a DICOM file.
        PhotoError: it cannot be referred to.
    """
    if format_name(data) != PhotoFormat.DICOM.label:
        raise NotAcceptable("the photo is not a DICOM file, whose study an answer in DICOM needs; ask for JSON")

    def build() -> list[bytes]:
        from app.dicom.objects import build_objects
        from app.dicom.source import read_source

        return build_objects(read_source(data, options.frame), screened, options)

    with admission.photo_permit() as permit:
        await permit.acquire()
        objects = await permit.run("encode", build)
    if chosen is Format.DICOM:
        return objects[0], DICOM
    return join_related(objects)
