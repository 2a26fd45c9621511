"""`GET /models` and the model cards: the models of the store, and which are live."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError

from app.api.answers import Comparison, CurveAnswer, ModelEntry, ModelList, problem_responses
from app.api.parameters import known_parameters_only
from app.api.problems import quoted
from app.api.service import service_of
from app.detector.bundle import Bundle, list_bundles, list_comparisons, read_bundle, replaced_by, replacements
from app.detector.engine import Engine
from app.errors import BundleError, UnknownModel

logger = logging.getLogger(__name__)

router = APIRouter(dependencies=[Depends(known_parameters_only)])

Version = Annotated[int | None, Query(ge=1, le=10**9, description="If omitted, the live version, or else the newest.")]


@router.get("/models", response_model=ModelList, summary="List the models")
async def models(request: Request) -> ModelList:
    """Every model and version of the store; `live` ones answer, the `default` one without being named."""
    service = service_of(request)
    return await asyncio.to_thread(_list, service.settings.model_store, service.models.engines)


@router.get(
    "/models/{model}/card",
    response_class=Response,
    responses={
        200: {"content": {"text/markdown": {"schema": {"type": "string"}}}},
        **problem_responses({404: "The store does not have it.", 422: "A parameter is invalid."}),
    },
    summary="Read a model card",
)
async def card(
    request: Request,
    model: str,
    version: Version = None,
) -> Response:
    """The model card as Markdown: intended use, measured figures, limits, data credit."""
    service = service_of(request)
    text = await asyncio.to_thread(_card, service.settings.model_store, service.models.engines, model, version)
    return Response(text, media_type="text/markdown; charset=utf-8")


@router.get(
    "/models/{model}/curve",
    responses=problem_responses({404: "The store does not have it.", 422: "A parameter is invalid."}),
    summary="Read the figures at every threshold",
)
async def curve(request: Request, model: str, version: Version = None) -> CurveAnswer:
    """Sensitivity, false positives and photo-level figures over ascending thresholds, by source and their mean."""
    service = service_of(request)
    store, engines = service.settings.model_store, service.models.engines
    bundle = await asyncio.to_thread(_bundle, store, engines, model, version)
    return CurveAnswer(name=bundle.name, version=bundle.version, curve=bundle.curve)


def _list(store: Path, engines: list[Engine]) -> ModelList:
    # A live model answers even if its folder was removed from the store.
    paths = {(engine.bundle.name, engine.bundle.version): engine.bundle.path for engine in engines}
    paths |= {(name, version): path for name, version, path in list_bundles(store)}
    comparisons = _comparisons(store)
    entries = [_entry(name, version, paths[name, version], engines) for name, version in sorted(paths)]
    for entry in entries:
        entry.comparison = comparisons.pop(entry.sha256, None)
    return ModelList(models=entries, refused=[one for one in comparisons.values() if not one.is_better])


def _comparisons(store: Path) -> dict[str | None, Comparison]:
    """The comparisons that the store keeps, by the SHA-256 of the newer bundle."""
    found: dict[str | None, Comparison] = {}
    for path in list_comparisons(store):
        try:
            comparison = Comparison.model_validate_json(path.read_bytes())
            found[comparison.new.sha256] = comparison
        except (OSError, ValidationError) as error:
            logger.warning("a comparison of the store cannot be read: %s: %s", path, error)
    return found


def _entry(name: str, version: int, path: Path, engines: list[Engine]) -> ModelEntry:
    live = next((one for one in engines if (one.bundle.name, one.bundle.version) == (name, version)), None)
    bundle: Bundle | None = None
    try:
        bundle = live.bundle if live else read_bundle(path, verify=False)
    except BundleError as error:
        logger.warning("a bundle of the store cannot be read: %s", error)
    return ModelEntry(
        name=name,
        version=version,
        live=live is not None,
        default=live is not None and live is engines[0],
        usable=bundle is not None,
        sha256=bundle.sha256 if bundle else None,
        runtime=live.runtime.name if live is not None else None,
        device=live.runtime.device if live is not None else None,
        precision=live.precision if live is not None else None,
        classes=dict(bundle.class_names) if bundle else {},
        operating_point=bundle.operating_point if bundle else None,
        operating_points=dict(bundle.operating_points) if bundle else {},
        curve=f"/models/{name}/curve?version={version}" if bundle and bundle.curve else None,
        card=f"/models/{name}/card?version={version}",
        comparison=None,
    )


def _card(store: Path, engines: list[Engine], model: str, version: int | None) -> str:
    bundle = _bundle(store, engines, model, version)
    try:
        return bundle.card
    except OSError as error:
        raise BundleError(f"{bundle.path} has no readable model card") from error


def _bundle(store: Path, engines: list[Engine], model: str, version: int | None) -> Bundle:
    if version is None:
        version = next((engine.bundle.version for engine in engines if engine.bundle.name == model), None)
    stored = list_bundles(store)
    paths = [path for name, number, path in stored if name == model and version in (None, number)]
    if not paths:
        wanted = f"{quoted(model)}{'' if version is None else f' version {version}'}"
        known = ", ".join(f"{name} {number}" for name, number, _ in stored) or "no model"
        successor = replaced_by(replacements(store).get(model))
        raise UnknownModel(f"{wanted} is not in the store, which has {known}{successor}")
    return read_bundle(paths[-1], verify=False)
