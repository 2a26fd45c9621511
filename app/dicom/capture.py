"""The annotated picture as a Secondary Capture, which every viewer shows."""

import io

from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage

from app.dicom.codes import Code
from app.dicom.document import as_file, begun, verdict_in_words
from app.dicom.source import Source
from app.dicom.view import copy_codes
from app.screen_photo import Options, ScreenedPhoto

KIND, SERIES_NUMBER = "picture", 9002

BODY_PART = "MOUTH"
"""Unless the photo names another."""

SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")


def build_capture(source: Source, screened: ScreenedPhoto, options: Options) -> bytes:
    """The picture of `screened`, a JPEG, as a DICOM file."""
    assert screened.picture is not None
    with Image.open(io.BytesIO(screened.picture)) as image:
        width, height = image.size
    words = verdict_in_words(screened, options)
    made = begun(SecondaryCaptureImageStorage, KIND, SERIES_NUMBER, source, screened, options, words)
    made.Modality, made.ConversionType = "OT", "WSD"
    made.BodyPartExamined = source.header.get("BodyPartExamined") or BODY_PART
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.PatientOrientation = ""
    copy_codes(source.header, made)
    made.ImageComments = words
    made.DerivationDescription = "Boxes and a legend drawn by a detector of caries"
    reference = source.reference()
    reference.PurposeOfReferenceCodeSequence = [SOURCE_IMAGE.item()]
    made.SourceImageSequence = [reference]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "YBR_FULL_422", 0
    made.Rows, made.Columns = height, width
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.LossyImageCompression, made.LossyImageCompressionMethod = "01", "ISO_10918_1"
    made.LossyImageCompressionRatio = f"{3 * width * height / len(screened.picture):.2f}"
    made.PixelData = encapsulate([screened.picture])
    return as_file(made, JPEGBaseline8Bit)
