"""The appliance's pages: one FastAPI application, a router for each."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from clic_edge.accounts.door import Door, Lifetime
from clic_edge.accounts.openid import Provider
from clic_edge.accounts.passwords import Hasher
from clic_edge.ledger import Ledger
from clic_edge.pacs.gateway import ArchiveGateway
from clic_edge.pipeline.assessing import Desk
from clic_edge.reporting.shelf import REPORTS, Shelf
from clic_edge.web import (
    account,
    accounting,
    accounts,
    alarms,
    api,
    assess,
    attention,
    audit,
    case,
    cases,
    constancy,
    dicomweb,
    health,
    login,
    model,
    model_period,
    model_readers,
    models,
    openid,
    opening,
    overview,
    pictures,
    preferences,
    reports,
    senders,
    support,
    viewer,
)
from clic_edge.web.cookies import Cookies
from clic_edge.web.failing import explain_failures
from clic_edge.web.guard import Guard
from clic_edge.web.protection import Protection
from clic_edge.web.rendering import Pages
from clic_edge.web.words import Language

_MODEL_PAGES: Final = (models, model, model_period, model_readers, constancy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the pages know of where they are served."""

    viewer_folder: Path
    state_folder: Path
    names: Sequence[str]
    """Host names that a browser may ask for."""
    watch: models.Watch
    """What the pages of the models look at, and act by."""
    language: Language = "en"
    lifetime: Lifetime = field(default_factory=Lifetime)
    """Of a session."""
    hasher: Hasher = field(default_factory=Hasher)
    """Of passwords."""
    is_encrypted: bool = False
    """Whether browsers reach the pages by TLS, of this process or of a proxy."""
    certificate_ends: datetime | None = None
    """Of the pages' own TLS."""
    provider: Provider | None = None
    """Of log-ins by OpenID Connect."""
    support: Callable[[], bytes] | None = None
    """What makes a support bundle."""


def create_app(
    ledger: Ledger,
    archive: ArchiveGateway,
    *,
    site: Site,
    desk: Desk | None = None,
) -> FastAPI:
    """Return the application; it answers only when asked by one of the site's host names.

    Another name means that a page from elsewhere has its own name point here, to read the images
    as if they were its own. With a `desk`, readers assess results.
    """

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await archive.close()

    app = FastAPI(
        title="clic-edge", lifespan=living, docs_url=None, redoc_url=None, openapi_url=None
    )
    pages, look = Pages(site.language), _look(ledger, archive, site)
    app.include_router(health.router(ledger, archive))
    app.include_router(overview.router(look, pages))
    app.include_router(cases.router(ledger, pages))
    app.include_router(case.router(ledger, pages))
    seen = pictures.router(ledger, archive)
    app.include_router(seen)
    app.include_router(opening.router(ledger, archive))
    for one in _MODEL_PAGES:
        app.include_router(one.router(site.watch, pages))
    app.include_router(reports.router(_shelf(site), pages))
    app.include_router(preferences.router(ledger.accounts.set_language))
    for page in (accounting, alarms, attention, audit, senders):
        app.include_router(page.router(ledger, pages))
    app.include_router(viewer.router(site.viewer_folder))
    app.include_router(dicomweb.router(archive))
    if desk:
        app.include_router(assess.router(desk))
    if site.support:
        app.include_router(support.router(ledger, site.support))
    app.mount("/static", StaticFiles(packages=[("clic_edge.web", "static")]))
    app.mount(api.PATH, api.create_api(_programs(ledger, site, look=look, seen=seen)))
    explain_failures(app, pages)
    _guard(app, ledger, pages, site=site)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(site.names), www_redirect=False)
    app.add_middleware(Protection, is_encrypted=site.is_encrypted)
    return app


def _guard(app: FastAPI, ledger: Ledger, pages: Pages, *, site: Site) -> None:
    """Let nobody reach a route who has not logged in, and give everybody where to."""
    entrance = login.Entrance(
        ledger=ledger,
        door=Door(ledger, hasher=site.hasher, lifetime=site.lifetime),
        cookies=Cookies(is_secure=site.is_encrypted),
        pages=pages,
        provider=site.provider.title if site.provider else "",
    )
    app.include_router(login.router(entrance))
    app.include_router(account.router(entrance))
    app.include_router(accounts.router(entrance))
    if site.provider:
        app.include_router(openid.router(entrance, site.provider))
    app.add_middleware(Guard, door=entrance.door, cookies=entrance.cookies, pages=pages)


def _look(ledger: Ledger, archive: ArchiveGateway, site: Site) -> overview.Look:
    ends = site.certificate_ends
    return overview.Look(ledger, archive, site.state_folder, certificate_ends=ends)


def _programs(
    ledger: Ledger, site: Site, *, look: overview.Look, seen: APIRouter
) -> Iterable[APIRouter]:
    return (
        overview.api(look),
        account.api(Door(ledger, lifetime=site.lifetime)),
        accounts.api(ledger),
        cases.api(ledger),
        accounting.api(ledger),
        attention.api(ledger),
        alarms.api(ledger),
        audit.api(ledger),
        senders.api(ledger),
        case.api(ledger),
        seen,
        *(one.api(site.watch) for one in _MODEL_PAGES),
        reports.api(_shelf(site)),
    )


def _shelf(site: Site) -> Shelf:
    return Shelf(site.state_folder / REPORTS)
