"""The objects that answer one question."""

from app.dicom.capture import build_capture
from app.dicom.report import build_report
from app.dicom.source import Source
from app.errors import UnreadablePhoto
from app.screen_photo import Options, ScreenedPhoto


def build_objects(source: Source, screened: ScreenedPhoto, options: Options) -> list[bytes]:
    """The report and, if `screened` has a picture, the Secondary Capture, as DICOM files.

    Raises:
        UnreadablePhoto: the photo's patient or study cannot be written again.
    """
    try:
        report = build_report(source, screened, options)
        return [report, build_capture(source, screened, options)] if screened.picture is not None else [report]
    except Exception:  # of any kind for damaged elements, with their values
        raise UnreadablePhoto("the DICOM file's patient or study has values that cannot be copied") from None
