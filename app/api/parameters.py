"""Query parameters. A misspelt one is refused, never silently ignored."""

import difflib
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute

from app.api.problems import quoted
from app.errors import InvalidParameter
from app.screen_photo import Options
from app.screening import MAX_BOXES_BOUNDS, THRESHOLD_BOUNDS, ClassSelection


def integer(value: object) -> object:
    """JSON has one type of number: 2.0 is the integer 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


PointName = Annotated[
    str | None, Query(description="An operating point of the model, see /models; if omitted, the default one.")
]
Threshold = Annotated[
    float | None,
    Query(
        ge=THRESHOLD_BOUNDS.low,
        le=THRESHOLD_BOUNDS.high,
        allow_inf_nan=False,
        description="Lowest score shown; overrides operating_point, and if omitted is that of the operating point.",
    ),
]
MaxBoxes = Annotated[
    int | None,
    Query(
        ge=MAX_BOXES_BOUNDS.low,
        le=MAX_BOXES_BOUNDS.high,
        description="Most boxes shown; if omitted, the model's own.",
    ),
]
Classes = Annotated[ClassSelection, Query(description="Caries only, or normal teeth as well.")]
Language = Annotated[Literal["en", "ko"], Query(description="Language of the drawn labels.")]
Plain = Annotated[bool, Query(description="The picture is the upright photo alone, without boxes and legend.")]
WithEvidence = Annotated[
    bool, Query(description="The JSON answer has all detections, so that a client can apply other thresholds itself.")
]
Frame = Annotated[
    int | None, Query(ge=1, description="Frame of a DICOM file, from 1; needed only if the file has several.")
]
F = TypeVar("F", bound=StrEnum)
AnswerFormat = Annotated[F | None, Query(description="Answer format; overrides Accept.")]
Model = Annotated[str | None, Query(description="A live model, see /models; if omitted, the default one.")]


async def _options(
    operating_point: PointName = None,
    threshold: Threshold = None,
    max_boxes: MaxBoxes = None,
    classes: Classes = ClassSelection.CARIES,
    lang: Language = "en",
    plain: Plain = False,
    evidence: WithEvidence = False,
) -> Options:
    return Options(
        operating_point=operating_point,
        threshold=threshold,
        max_boxes=max_boxes,
        classes=classes,
        lang=lang,
        plain=plain,
        evidence=evidence,
    )


PhotoOptions = Annotated[Options, Depends(_options)]
"""How photos are screened; the picture's format is not in it."""


async def known_parameters_only(request: Request) -> None:
    """Refuse query parameters that the route does not declare, and repeated ones.

    Raises:
        InvalidParameter: with the parameter and the nearest one that the route declares.
    """
    route = request.scope.get("route")
    declaring = (*route.dependant.dependencies, route.dependant) if isinstance(route, APIRoute) else ()
    known = [parameter.alias for dependant in declaring for parameter in dependant.query_params]
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            close = difflib.get_close_matches(name.lower(), known, n=1)
            if close:
                hint = f"did you mean {close[0]}?"
            elif known:
                hint = f"known are {', '.join(known)}"
            else:
                hint = "this path takes none"
            raise InvalidParameter(f"the query parameter {quoted(name)} is unknown; {hint}")
        if name in seen:
            raise InvalidParameter(f"the query parameter {quoted(name)} is given more than once; give it once")
        seen.add(name)
