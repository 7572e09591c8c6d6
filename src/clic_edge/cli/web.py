"""`clic-edge web`: the pages, and the viewer over the appliance's images."""

from __future__ import annotations

import secrets
import socket
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from clic_edge import telemetry
from clic_edge.cli.context import appliance_of, context_of
from clic_edge.config import read_secret
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import require_ledger

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import uvicorn
    from fastapi import FastAPI

    from clic_edge.accounts.openid import Provider
    from clic_edge.accounts.passwords import Hasher
    from clic_edge.app import Appliance
    from clic_edge.config.settings import Web
    from clic_edge.deid.page_key import PageKey
    from clic_edge.pipeline.assessing import Desk
    from clic_edge.web.models import Watch

_GRACE_SECONDS = 5
_WARNED = timedelta(days=30)
_LOCAL = ("localhost", "127.0.0.1")


def web(context: typer.Context) -> None:
    """Serve the appliance's pages and the viewer until it is told to stop (SIGTERM or Ctrl-C).

    Whoever looks logs in first; `clic-edge users add` makes the first account.
    """
    appliance = appliance_of(context)
    require_ledger(appliance.engine)
    ends = certificate_of(appliance)
    telemetry.configure_logging("debug" if context_of(context).debug else "info")
    if ends and ends - datetime.now(UTC) < _WARNED:
        telemetry.certificate_ends(days=(ends - datetime.now(UTC)).days)
    with listening(appliance.settings.web) as listener, _vigil(appliance):
        server_of(appliance).run([listener])


def _vigil(appliance: Appliance) -> AbstractContextManager[None]:
    """Return what tells that no worker lives; where a secret is not for the pages, nothing is sent."""
    from clic_edge.notify.post import postman_of  # noqa: PLC0415 - the other commands need none
    from clic_edge.notify.vigil import Vigil, keeping  # noqa: PLC0415 - as above
    from clic_edge.pipeline.deadlines import watch_deadlines  # noqa: PLC0415 - as above

    try:
        postman = postman_of(appliance.settings, appliance.ledger)
    except ConfigError as error:
        telemetry.notice_failed(channel="", code=error.code)
        return nullcontext()
    also = partial(watch_deadlines, appliance.ledger, appliance.pipelines)
    return keeping(Vigil(ledger=appliance.ledger, postman=postman, also=also))


def server_of(appliance: Appliance, hasher: Hasher | None = None) -> uvicorn.Server:
    """Return the server of an appliance's pages, not yet listening; passwords by a `hasher`."""
    import uvicorn  # noqa: PLC0415 - the other commands need none of it

    from clic_edge.web.tls import context_of as encrypted  # noqa: PLC0415 - as above

    settings = appliance.settings.web
    return uvicorn.Server(
        uvicorn.Config(
            application(appliance, hasher),
            # What is asked for names studies: a list of requests would be a list of patients.
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=settings.behind_proxy,
            forwarded_allow_ips=list(settings.trusted_proxies),
            ssl_context_factory=(lambda *_: encrypted(settings)) if settings.certificate else None,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )


def listening(settings: Web, port: int | None = None) -> socket.socket:
    """Return the socket of the pages, on another `port` than the settings' if one is given.

    Raises ConfigError ``port-in-use``.
    """
    try:
        listener = socket.create_server((settings.host, settings.port if port is None else port))
    except OSError as error:
        raise ConfigError(
            "port-in-use", f"Port {settings.port} of {settings.host}: {error.strerror}."
        ) from error
    # Head and body leave apart, and the second would wait 40 ms for word that the first has come.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def application(appliance: Appliance, hasher: Hasher | None = None) -> FastAPI:
    """Return the pages of an appliance."""
    from clic_edge.accounts.door import Lifetime  # noqa: PLC0415 - as above
    from clic_edge.accounts.passwords import Hasher  # noqa: PLC0415 - as above
    from clic_edge.web.app import Site, create_app  # noqa: PLC0415 - as above
    from clic_edge.web.tls import names_of  # noqa: PLC0415 - as above

    settings = appliance.settings.web
    known = {*_LOCAL, settings.host, *settings.names, urlsplit(settings.url or "").hostname}
    known |= names_of(settings)
    return create_app(
        appliance.ledger,
        appliance.gateway(),
        site=Site(
            viewer_folder=settings.viewer,
            state_folder=appliance.settings.appliance.state_dir,
            names=sorted(name for name in known if name),
            watch=_watch(appliance),
            language=appliance.settings.appliance.language,
            hasher=hasher or Hasher(),
            is_encrypted=settings.certificate is not None or settings.behind_proxy,
            certificate_ends=certificate_of(appliance),
            provider=_provider(settings),
            support=partial(_support, appliance),
            lifetime=Lifetime(
                idle=timedelta(minutes=settings.session_idle_minutes),
                whole=timedelta(hours=settings.session_hours),
            ),
        ),
        desk=_desk(appliance),
    )


def _support(appliance: Appliance) -> bytes:
    from clic_edge.cli.support import sources_of  # noqa: PLC0415 - as above
    from clic_edge.support.bundle import make_bundle  # noqa: PLC0415 - as above

    return make_bundle(sources_of(appliance), key=secrets.token_bytes(32)).content


def _watch(appliance: Appliance) -> Watch:
    """Return what the pages of the models look at; the site's key is read when it is needed."""
    from clic_edge.board.references import ReferenceBook  # noqa: PLC0415 - as above
    from clic_edge.constancy.demand import OnDemand  # noqa: PLC0415 - as above
    from clic_edge.pipeline.monitoring import policy_of  # noqa: PLC0415 - as above
    from clic_edge.pipeline.moving import Mover  # noqa: PLC0415 - as above
    from clic_edge.web.models import Watch  # noqa: PLC0415 - as above

    ledger, settings = appliance.ledger, appliance.settings
    return Watch(
        ledger=ledger,
        book=ReferenceBook(ledger, policy_of(settings)),
        mover=Mover(standing=ledger.standing, key=lambda: page_key_of(appliance)),
        run=OnDemand(appliance.chain),
    )


def certificate_of(appliance: Appliance) -> datetime | None:
    """Return when the certificate of the pages ends. Raises as `web.tls.certificate_ends`."""
    from clic_edge.web.tls import certificate_ends  # noqa: PLC0415 - as above

    return certificate_ends(appliance.settings.web, datetime.now(UTC))


def page_key_of(appliance: Appliance) -> PageKey:
    """Return what the pages have of the site's key. Raises as `load_page_key`."""
    from clic_edge.deid.page_key import load_page_key  # noqa: PLC0415 - for a fast --help

    settings = appliance.settings
    return load_page_key(settings.web.key_file, settings.appliance.deid_key)


def _provider(settings: Web) -> Provider | None:
    if settings.openid is None:
        return None
    from clic_edge.accounts.openid import Provider  # noqa: PLC0415 - as above

    secret = settings.openid.client_secret_file
    return Provider(settings.openid, read_secret(secret) if secret else "")


def _desk(appliance: Appliance) -> Desk | None:
    """Return where readers' answers are taken in; nobody is asked where results carry no link."""
    if appliance.settings.web.url is None:
        return None
    from clic_edge.pipeline.assessing import Desk  # noqa: PLC0415 - as above

    return Desk(
        archive=appliance.archive(),
        ledger=appliance.ledger,
        key=page_key_of(appliance),
        language=appliance.settings.appliance.language,
    )
