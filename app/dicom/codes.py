"""Coded concepts, and content items of structured reports (PS3.3, C.17.3)."""

from collections.abc import Sequence
from typing import NamedTuple

from pydicom import Dataset


class Code(NamedTuple):
    """A coded concept (PS3.16): value, coding scheme and meaning."""

    value: str
    scheme: str
    meaning: str

    def item(self) -> Dataset:
        """As an item of a code sequence."""
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = self
        return item


OWN_SCHEME = "99CARIES"
"""Designator of the codes for which no standard scheme has one; designators from 99 on are private (PS3.16, 8)."""

OWN_SCHEME_NAME = "caries-screen"

REPORT = Code("126000", "DCM", "Imaging Measurement Report")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
LANGUAGES = {"en": Code("en", "RFC5646", "English"), "ko": Code("ko", "RFC5646", "Korean")}
OBSERVER_TYPE, DEVICE = Code("121005", "DCM", "Observer Type"), Code("121007", "DCM", "Device")
DEVICE_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_MODEL = Code("121015", "DCM", "Device Observer Model Name")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure Reported")
SCREENING = Code("screening", OWN_SCHEME, "Screening of a photo of teeth for caries")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
SOURCE = Code("260753009", "SCT", "Source")
MODALITY = Code("121139", "DCM", "Modality")
MODALITIES = {
    "XC": Code("XC", "DCM", "External-camera Photography"),
    "ES": Code("ES", "DCM", "Endoscopy"),
    "OT": Code("OT", "DCM", "Other Modality"),
}
TARGET_REGION = Code("123014", "DCM", "Target Region")
STRUCTURE = Code("91723000", "SCT", "Anatomical structure")
TOPOGRAPHICAL_MODIFIER = Code("106233006", "SCT", "Topographical modifier")
IMAGE_LATERALITY = Code("111027", "DCM", "Image Laterality")
IMAGE_VIEW = Code("111031", "DCM", "Image View")
IMAGE_VIEW_MODIFIER = Code("111032", "DCM", "Image View Modifier")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING = Code("121071", "DCM", "Finding")
CARIES = Code("80967001", "SCT", "Dental caries")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
PERCENT = Code("%", "UCUM", "Percent")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
VERDICT = Code("verdict", OWN_SCHEME, "Verdict")

CONTAINS, CONTEXT, MODIFIER, ACQUISITION = "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS ACQ CONTEXT"
"""Relationships of an item to the one that contains it."""


def content_item(relationship: str, kind: str, name: Code) -> Dataset:
    """An item without its value."""
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = relationship, kind, [name.item()]
    return item


def text_item(relationship: str, name: Code, text: str) -> Dataset:
    """A text."""
    item = content_item(relationship, "TEXT", name)
    item.TextValue = text
    return item


def code_item(relationship: str, name: Code, code: Code) -> Dataset:
    """A coded value."""
    return coded_item(relationship, name, code.item())


def coded_item(relationship: str, name: Code, code: Dataset) -> Dataset:
    """A coded value whose code is an item of a code sequence."""
    item = content_item(relationship, "CODE", name)
    item.ConceptCodeSequence = [code]
    return item


def uid_item(relationship: str, name: Code, uid: str) -> Dataset:
    """A UID."""
    item = content_item(relationship, "UIDREF", name)
    item.UID = uid
    return item


def number_item(relationship: str, name: Code, value: float, unit: Code) -> Dataset:
    """A measured number."""
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = f"{value:.10g}", [unit.item()]
    item = content_item(relationship, "NUM", name)
    item.MeasuredValueSequence = [measured]
    return item


def image_item(relationship: str, reference: Dataset) -> Dataset:
    """A reference to the source photo."""
    item = content_item(relationship, "IMAGE", SOURCE)
    item.ReferencedSOPSequence = [reference]
    return item


def container(name: Code, items: Sequence[Dataset], template: str | None = None) -> Dataset:
    """Items under a heading, of a template of PS3.16 if one is named."""
    item = content_item(CONTAINS, "CONTAINER", name)
    item.ContinuityOfContent = "SEPARATE"
    item.ContentSequence = list(items)
    if template is not None:
        item.ContentTemplateSequence = [template_of(template)]
    return item


def template_of(number: str) -> Dataset:
    """The identification of a template of PS3.16."""
    item = Dataset()
    item.MappingResource, item.TemplateIdentifier = "DCMR", number
    return item
