"""The structured report: a Comprehensive 3D SR of TID 1500, as IHE's AI Results profile asks for.

Written with pydicom alone; highdicom takes 160 to 860 ms for a report. Every box is a measurement group (TID 1410). The
verdict on the photo is a text, since viewers draw nothing for a group without a region.
"""

from typing import Any

from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from app.dicom import MANUFACTURER, codes
from app.dicom.codes import Code
from app.dicom.document import MODEL_NAME, as_file, begun, device_uid, verdict_in_words
from app.dicom.source import Source
from app.dicom.uids import Uids
from app.dicom.view import described
from app.screen_photo import Options, ScreenedPhoto

KIND, SERIES_NUMBER = "report", 9001


def build_report(source: Source, screened: ScreenedPhoto, options: Options) -> bytes:
    """The report as a DICOM file; boxes in pixels of the photo, scores as percentages."""
    texts = verdict_in_words(screened, options)
    made = begun(Comprehensive3DSRStorage, KIND, SERIES_NUMBER, source, screened, options, texts)
    made.Modality = "SR"
    made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    made.ReferencedPerformedProcedureStepSequence = []
    made.PerformedProcedureCodeSequence = []
    made.CurrentRequestedProcedureEvidenceSequence = [_evidence(source)]
    made.CodingSchemeIdentificationSequence = [_own_scheme()]
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [codes.REPORT.item()]
    made.ContentTemplateSequence = [codes.template_of("1500")]
    uids = Uids(source, screened, options)
    groups = [_group(number, box, source, screened, uids) for number, box in enumerate(screened.boxes(), 1)]
    verdict = codes.text_item(codes.CONTAINS, codes.VERDICT, texts)
    made.ContentSequence = [
        codes.code_item(codes.MODIFIER, codes.LANGUAGE, codes.LANGUAGES[options.lang]),
        codes.code_item(codes.CONTEXT, codes.OBSERVER_TYPE, codes.DEVICE),
        codes.uid_item(codes.CONTEXT, codes.DEVICE_UID, device_uid(screened)),
        codes.text_item(codes.CONTEXT, codes.DEVICE_NAME, screened.bundle.name),
        codes.text_item(codes.CONTEXT, codes.DEVICE_MANUFACTURER, MANUFACTURER),
        codes.text_item(codes.CONTEXT, codes.DEVICE_MODEL, MODEL_NAME),
        codes.code_item(codes.MODIFIER, codes.PROCEDURE_REPORTED, codes.SCREENING),
        codes.container(codes.IMAGE_LIBRARY, [codes.container(codes.IMAGE_LIBRARY_GROUP, [_library_entry(source)])]),
        *([codes.container(codes.IMAGING_MEASUREMENTS, groups)] if groups else []),
        codes.container(codes.QUALITATIVE_EVALUATIONS, [verdict]),
    ]
    return as_file(made)


def _evidence(source: Source) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.header.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = source.header.SeriesInstanceUID, [reference]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = source.header.StudyInstanceUID, [series]
    return study


def _own_scheme() -> Dataset:
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = codes.OWN_SCHEME, codes.OWN_SCHEME_NAME
    return scheme


def _library_entry(source: Source) -> Dataset:
    """The photo in the image library (TID 1601)."""
    entry = codes.image_item(codes.CONTAINS, source.reference())
    modality = codes.MODALITIES.get(str(source.header.get("Modality") or ""), codes.MODALITIES["OT"])
    entry.ContentSequence = [codes.code_item(codes.ACQUISITION, codes.MODALITY, modality), *described(source.header)]
    return entry


def _group(number: int, box: dict[str, Any], source: Source, screened: ScreenedPhoto, uids: Uids) -> Dataset:
    """A box: its tracking, finding, detector, certainty and region."""
    bundle, point = screened.bundle, screened.operating_point
    corners = box["box"]
    left, top, right, bottom = (corners[side] for side in ("xmin", "ymin", "xmax", "ymax"))
    region = codes.content_item(codes.CONTAINS, "SCOORD", codes.IMAGE_REGION)
    region.GraphicType = "POLYLINE"
    region.GraphicData = [left, top, right, top, right, bottom, left, bottom, left, top]
    region.ContentSequence = [codes.image_item("SELECTED FROM", source.reference())]
    caries = box["class_id"] == bundle.screened_class_id
    finding = (
        codes.CARIES if caries else Code(box["class"][:16], codes.OWN_SCHEME, f"Tooth of class {box['class']}"[:64])
    )
    parameters = f"threshold={point.score_threshold:g} max_boxes={point.max_boxes} precision={screened.precision}"
    items = [
        codes.text_item(codes.CONTEXT, codes.TRACKING_IDENTIFIER, f"{box['class']} {number}"),
        codes.uid_item(codes.CONTEXT, codes.TRACKING_UID, uids.tracking(number)),
        codes.code_item(codes.CONTAINS, codes.FINDING, finding),
        codes.text_item(codes.MODIFIER, codes.ALGORITHM_NAME, bundle.name),
        codes.text_item(codes.MODIFIER, codes.ALGORITHM_VERSION, f"{bundle.version} sha256:{bundle.sha256}"),
        codes.text_item(codes.MODIFIER, codes.ALGORITHM_PARAMETERS, parameters),
        codes.number_item(codes.CONTAINS, codes.CERTAINTY, box["score"] * 100, codes.PERCENT),
        region,
    ]
    return codes.container(codes.MEASUREMENT_GROUP, items, template="1410")
