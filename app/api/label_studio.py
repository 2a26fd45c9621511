"""Label Studio's project configurations, tasks and predictions, as its protocol for ML backends has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from xml.etree import ElementTree

from pydantic import BaseModel, Field

from app.api.problems import quoted
from app.detector.bundle import Bundle
from app.errors import InvalidParameter
from app.screen_photo import ScreenedPhoto
from app.screening import ClassSelection, Verdict

MAX_CONFIG = 2**18
"""Characters of a project's configuration."""


class SetupRequest(BaseModel):
    """What Label Studio sends when a project is connected, as far as it is read."""

    label_config: str = Field(alias="schema", max_length=MAX_CONFIG)


class Task(BaseModel):
    """One task, as far as it is read."""

    data: dict[str, Any]


class PredictRequest(BaseModel):
    """Tasks to predict, as far as the request is read."""

    tasks: list[Task] = Field(min_length=1)
    label_config: str = Field(max_length=MAX_CONFIG)


class ModelVersion(BaseModel):
    """The answer of `/setup`."""

    model_version: str


class HealthAnswer(BaseModel):
    """The answer of `/health`."""

    status: str
    model_class: str


class WebhookAnswer(BaseModel):
    """The answer of `/webhook`."""

    status: str
    detail: str


class Predictions(BaseModel):
    """The answer of `/predict`: a prediction for each task, in order."""

    results: list[dict[str, Any]] = Field(
        description="`result`, `score` and `model_version`; without `result` if the photo has a `problem` or is not "
        "assessable, so that Label Studio stores no prediction."
    )
    model_version: str


@dataclass(frozen=True, slots=True)
class Project:
    """The parts of a project's configuration that a prediction needs.

    Attributes:
        from_name: of the rectangle labels.
        to_name: of the image that they are drawn on.
        key: of the task's data that names the photo.
        labels: by class id.
    """

    from_name: str
    to_name: str
    key: str
    labels: Mapping[int, str]

    @classmethod
    def from_config(cls, text: str, bundle: Bundle) -> Self:
        """The first rectangle labels, of which one has the name of the screened class, in any case.

        Raises:
            InvalidParameter: there are none, or the configuration is not XML.
        """
        screened = bundle.class_names[bundle.screened_class_id]
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise InvalidParameter("the labelling configuration has a document type; remove it")
        try:
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise InvalidParameter(f"the labelling configuration is not XML: {error}") from None
        images = {image.get("name", ""): image.get("value", "").removeprefix("$") for image in root.iter("Image")}
        ids = {name.lower(): class_id for class_id, name in bundle.class_names.items()}
        for control in root.iter("RectangleLabels"):
            values = [label.get("value", "") for label in control.iter("Label")]
            labels = {ids[value.lower()]: value for value in values if value.lower() in ids}
            target = control.get("toName", "")
            if bundle.screened_class_id in labels and images.get(target):
                return cls(control.get("name", ""), target, images[target], labels)
        raise InvalidParameter(
            f"the labelling configuration has no <RectangleLabels> of an <Image> with a <Label> {quoted(screened)}"
        )

    def classes(self, bundle: Bundle) -> ClassSelection:
        """The classes that have a label."""
        return ClassSelection.CARIES if set(self.labels) == {bundle.screened_class_id} else ClassSelection.ALL

    def photo_of(self, task: Task) -> str:
        """Where the photo of a task is.

        Raises:
            InvalidParameter: the task does not say.
        """
        value = task.data.get(self.key)
        if not isinstance(value, str) or not value:
            raise InvalidParameter(f"the task's data has no address of a photo as {quoted(self.key)}")
        return value

    def prediction(self, screened: ScreenedPhoto) -> dict[str, Any]:
        """The prediction of a photo. Sides are in percent of the upright photo's."""
        head = {
            "model_version": version_of(screened.bundle),
            "verdict": screened.screening.verdict.value,
            "reasons": [reason.value for reason in screened.screening.reasons],
        }
        if screened.screening.verdict is Verdict.NOT_ASSESSABLE:
            return head  # an empty prediction would look like a photo without caries
        regions, scores = [], []
        for number, (box, score, class_id) in enumerate(screened.screening.shown, 1):
            if class_id not in self.labels:
                continue
            ymin, xmin, ymax, xmax = (100 * float(value) for value in box)
            scores.append(round(score, 4))
            regions.append(
                {
                    "id": f"box-{number}",
                    "from_name": self.from_name,
                    "to_name": self.to_name,
                    "type": "rectanglelabels",
                    "original_width": screened.width,
                    "original_height": screened.height,
                    "image_rotation": 0,
                    "score": scores[-1],
                    "value": {
                        "x": round(xmin, 4),
                        "y": round(ymin, 4),
                        "width": round(xmax - xmin, 4),
                        "height": round(ymax - ymin, 4),
                        "rotation": 0,
                        "rectanglelabels": [self.labels[class_id]],
                    },
                }
            )
        return {"result": regions, "score": max(scores, default=0.0), **head}


def version_of(bundle: Bundle) -> str:
    """The version that predictions name."""
    return f"{bundle.name}/{bundle.version}"
