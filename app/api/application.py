"""The application: its routes, middleware and error handlers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware

from app import distribution_version
from app.api.identities import Identities
from app.api.middleware.access import CheckAccess, declare_access
from app.api.middleware.always_answer import AlwaysAnswer
from app.api.middleware.audited import AuditRequests, RefusalTally
from app.api.middleware.observe import Observe
from app.api.middleware.security_headers import SecurityHeaders
from app.api.problems import HANDLED, problem_answers
from app.api.rate_limits import Counters, MinuteLimit
from app.api.routes import (
    batch,
    catalogue,
    detect,
    docs_page,
    health,
    open_inference,
    page,
    reload,
    session,
)
from app.api.service import Service
from app.detector.runtimes import Runtime
from app.process import tracing
from app.records.audit import AuditLog
from app.records.key_file import KeyFile
from app.records.keys_in_force import KeysInForce
from app.records.sessions import MemorySessions, Sessions
from app.settings import Settings

DESCRIPTION = """Screens photos of teeth for caries.

**Not a medical device.** The answers are not a diagnosis and do not replace a dentist's examination.
"""


def create_app(
    settings: Settings, *, load: Callable[..., Runtime] | None = None, on_failure: Callable[[], None] = lambda: None
) -> FastAPI:
    """The HTTP application. It loads its detector when it starts up and closes it when it shuts down.

    Args:
        load: creates the runtimes, see `build_engine`.
        on_failure: called when the detector cannot be loaded; `/health/ready` keeps answering 503.

    Raises:
        KeysError: the key file of the settings cannot be used.
        AuditError: the audit log cannot be written.
        SettingsError, ReviewStoreError: the review store or the counters of the settings cannot be opened.
    """
    keys = KeysInForce(KeyFile(settings.keys)) if settings.keys else None
    service = Service(settings, load=load, on_failure=on_failure)
    counters, identities = Counters(settings.rate_limits), None
    requests = MinuteLimit(settings.requests_per_minute, "requests", counters)
    if keys is not None:
        sessions = service.reviews.sessions if service.reviews else MemorySessions()
        identities = Identities(keys, Sessions(keys, sessions, settings.session_s), requests, counters)
    answer = problem_answers(service.metrics)
    audit, audited = None, []
    if settings.audit is not None:
        audit = AuditLog(settings.audit, max_bytes=settings.audit_bytes, fsync=settings.audit_fsync)
        tally = RefusalTally(audit)
        audited = [Middleware(AuditRequests, log=audit, tally=tally, fsync=settings.audit_fsync, answer=answer)]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            async with service.running():
                yield
        finally:
            if audit is not None:
                await tally.close()
                audit.close()

    tracing.configure()
    routers = [room.router for room in (detect, batch, catalogue, reload, open_inference, health, page, session)]
    if identities is not None:
        routers.append(session.with_keys)
    if service.reviews is not None:
        from app.api.routes import reviews  # it takes memory and an extra that other servers do without

        routers.append(reviews.router)

    photos = None
    if settings.label_studio is not None:
        from app.api.label_studio_photos import LabelStudioPhotos
        from app.api.routes import label_studio

        photos = LabelStudioPhotos.from_settings(settings.label_studio, settings)
        routers.append(label_studio.router)

    routes = [route for router in routers for route in router.routes]
    middleware = [  # outermost first
        Middleware(Observe, metrics=service.metrics),
        Middleware(SecurityHeaders),
        *audited,
        Middleware(AlwaysAnswer, service=service, answer=answer),
        Middleware(CheckAccess, identities=identities, requests=requests, routes=routes),
    ]
    about: dict[str, Any] = {
        "title": "Caries screening",
        "version": distribution_version(),
        "description": DESCRIPTION,
        "lifespan": lifespan,
        "redirect_slashes": False,
        "middleware": middleware,
        "exception_handlers": dict.fromkeys(HANDLED, answer),
    }
    if settings.docs:
        # FastAPI's own page loads Swagger UI from the internet, which many clinics block.
        app = FastAPIOffline(docs_url=None, redoc_url=None, static_url=docs_page.STATIC, **about)
        docs_page.install(app)
    else:
        app = FastAPI(openapi_url=None, **about)
    app.state.service = service
    app.state.routes = routes
    app.state.identities = identities
    app.state.label_studio = photos
    for router in routers:
        app.include_router(router)
    declare_access(app, with_keys=keys is not None)
    return app
