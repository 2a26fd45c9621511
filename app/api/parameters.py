"""Query parameters: those of every photo, and that a misspelt one is refused, never silently ignored."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.routing import APIRoute

from app.api.problems import quoted
from app.errors import InvalidParameter
from app.screening import MAX_BOXES_LIMIT, ClassSelection

Threshold = Annotated[
    float | None,
    Query(ge=0, le=1, allow_inf_nan=False, description="Lowest score shown; without it, the model's own."),
]
MaxBoxes = Annotated[
    int | None, Query(ge=1, le=MAX_BOXES_LIMIT, description="Boxes shown at most; without it, the model's own.")
]
Classes = Annotated[ClassSelection, Query(description="Caries only, or normal teeth as well.")]
Language = Annotated[Literal["en", "ko"], Query(description="Language of the drawn labels.")]
Model = Annotated[str | None, Query(description="A live model, see /models; without it, the default one.")]


async def known_parameters_only(request: Request) -> None:
    """Refuses query parameters that the route does not declare, and repeated ones.

    Raises:
        InvalidParameter: names the parameter and the nearest one that the route knows.
    """
    route = request.scope.get("route")
    known = [parameter.alias for parameter in route.dependant.query_params] if isinstance(route, APIRoute) else []
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            close = difflib.get_close_matches(name.lower(), known, n=1)
            if close:
                hint = f"did you mean {close[0]}?"
            elif known:
                hint = f"known are {', '.join(known)}"
            else:
                hint = "none is known here"
            raise InvalidParameter(f"the query parameter {quoted(name)} is unknown; {hint}")
        if name in seen:
            raise InvalidParameter(f"the query parameter {quoted(name)} is given more than once; give it once")
        seen.add(name)
