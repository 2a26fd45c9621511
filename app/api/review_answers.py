"""The JSON of the reviews, as OpenAPI describes it: what clients send and what they get."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import Box, ModelIdentity, ProblemAnswer
from app.reviews.labels import MAX_BOXES, MAX_NOTE, LabelledBox, Labels, ReaderVerdict, State, View
from app.reviews.schema import PhotoRow
from app.reviews.store import ReviewStore
from app.screening import Verdict
from app.settings import Blind

ClassName = Literal["normal", "caries"]


class SentBox(BaseModel):
    """Corners in pixels of the upright photo."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    xmin: float = Field(ge=0)
    ymin: float = Field(ge=0)
    xmax: float = Field(ge=0)
    ymax: float = Field(ge=0)


class SentTooth(BaseModel):
    """A tooth that a reader marked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    class_name: ClassName = Field(alias="class")
    box: SentBox


class SentRecord(BaseModel):
    """What a reader says about a photo."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = Field(ge=0, le=10**9, description="Of the record that this one replaces; 0 if there is none.")
    verdict: Literal["carious", "sound", "not_assessable"] = Field(
        description="carious needs a box of the class caries, sound has none, not_assessable has no boxes."
    )
    boxes: list[SentTooth] = Field(max_length=MAX_BOXES)
    view: Literal["front", "side", "occlusal", "close"] | None = None
    note: str | None = Field(
        default=None, max_length=MAX_NOTE, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$", description="Without names."
    )

    @property
    def labels(self) -> Labels:
        """As the rules take it."""
        boxes = (LabelledBox(tooth.class_name, **tooth.box.model_dump()) for tooth in self.boxes)
        return Labels(ReaderVerdict(self.verdict), tuple(boxes))


class MarkedTooth(BaseModel):
    """A tooth that a reader marked; in what readers start from, the class may be null."""

    model_config = ConfigDict(populate_by_name=True)

    class_name: ClassName | None = Field(alias="class")
    box: Box


class Record(BaseModel):
    """What a reader said."""

    model_config = ConfigDict(from_attributes=True)

    reader: str
    version: int
    verdict: ReaderVerdict
    boxes: list[MarkedTooth]
    view: View | None
    note: str | None
    blind: bool = Field(
        description="Whether another reader kept the photo, and `/reviews` had shown this one neither the detector's "
        "boxes nor another reading."
    )
    created_at: datetime
    updated_at: datetime


class ScoredBox(BaseModel):
    """A tooth as a class, with its calibrated score."""

    model_config = ConfigDict(populate_by_name=True)

    class_name: str = Field(alias="class")
    score: float = Field(ge=0, le=1)
    box: Box


class ReviewPoint(BaseModel):
    """The operating point that a detector's verdict was reached at."""

    name: str | None
    score_threshold: float
    max_boxes: int


class DetectorAnswer(BaseModel):
    """What a detector said when the photo was kept."""

    model: ModelIdentity
    operating_point: ReviewPoint
    verdict: Verdict
    boxes: list[ScoredBox] = Field(description="A box for each tooth and class, at any score.")


class PhotoIdentity(BaseModel):
    """What every reader may see of a photo."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    state: State
    kept_at: datetime
    patient: str | None = Field(description="Pseudonym.")
    view: View | None
    width: int
    height: int


class PhotoEntry(PhotoIdentity):
    """A photo of a queue."""

    readings: int
    uncertainty: float | None = Field(description="Bits that its labels would teach; null in blind reading.")
    disagreement: float | None = Field(description="Of the detectors, 0 to 1; null in blind reading.")

    @classmethod
    def from_row(cls, photo: PhotoRow, blind: Blind) -> "PhotoEntry":
        """The entry as readers may see it."""
        entry = cls.model_validate(photo)
        return entry if blind is Blind.OFF else entry.model_copy(update={"uncertainty": None, "disagreement": None})


class PhotoList(BaseModel):
    """Photos in the order asked for."""

    photos: list[PhotoEntry]


class ReviewedPhoto(PhotoIdentity):
    """A photo with all that this reader may see."""

    kept_by: str
    media_type: str
    sha256: str = Field(description="Of the picture.")
    detections: list[DetectorAnswer] | None = Field(description="Null in blind reading until the readings are done.")
    start: list[MarkedTooth] = Field(description="The boxes to start from.")
    reading: Record | None = Field(description="This reader's.")
    readings: list[Record] = Field(description="All that this reader may see.")
    consensus: Record | None = Field(description="Null in blind reading until the readings are done.")

    @classmethod
    def from_row(cls, store: ReviewStore, photo: PhotoRow, reader: str) -> "ReviewedPhoto":
        """The photo as this reader may see it."""
        readings = [Record.model_validate(reading) for reading in store.visible_readings(photo, reader)]
        findings = [row.finding for row in photo.findings]
        is_open = store.findings_visible(photo)
        shown = [finding.as_dict() for finding in findings] if is_open else None
        consensus = Record.model_validate(photo.consensus) if is_open and photo.consensus else None
        return cls.model_validate(
            PhotoIdentity.model_validate(photo).model_dump()
            | {"kept_by": photo.kept_by, "media_type": photo.media_type, "sha256": photo.sha256}
            | {"detections": shown, "start": findings[0].start(store.blind), "readings": readings}
            | {"reading": next((reading for reading in readings if reading.reader == reader), None)}
            | {"consensus": consensus}
        )


class StoreSummary(BaseModel):
    """How photos are read, and how many there are by state."""

    blind: Blind
    photos: dict[State, int]


class KeptPhoto(BaseModel):
    """A photo of a batch that is kept."""

    index: int = Field(ge=1, description="The photo's position in the batch, from 1.")
    photo: int


class UnkeptPhoto(BaseModel):
    """A photo of a batch that could not be kept."""

    index: int = Field(ge=1, description="The photo's position in the batch, from 1.")
    problem: ProblemAnswer


class KeptBatch(BaseModel):
    """The answer to a batch."""

    results: list[KeptPhoto | UnkeptPhoto]


class Deletion(BaseModel):
    """How many photos were deleted."""

    deleted: int


class Figures(BaseModel):
    """How far two labellers agree; null where nothing defines a figure."""

    photos: int
    teeth: int
    f1_05: float | None = Field(description="Of boxes of caries, at an IoU of 0.5.")
    f1_075: float | None = Field(description="The same at 0.75.")
    kappa_tooth: float | None = Field(description="Cohen's kappa of carious or not, by tooth.")
    kappa_photo: float | None = Field(description="The same of the verdicts, by photo.")


class FiguresByView(Figures):
    """Figures of all photos, and of those of each view."""

    by_view: dict[View, Figures]


class PairFigures(FiguresByView):
    """Two readers."""

    readers: list[str]


class ReaderFigures(FiguresByView):
    """A reader against the consensus."""

    reader: str


class DetectorFigures(FiguresByView):
    """A detector against the consensus."""

    model: str
    version: int


class Agreement(BaseModel):
    """Agreement on the photos that two blind readers have read."""

    photos: int
    pairs: list[PairFigures]
    readers: list[ReaderFigures]
    detectors: list[DetectorFigures]
