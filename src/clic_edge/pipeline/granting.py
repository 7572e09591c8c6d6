"""From a site's settings to what the runtimes of its models may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.config import read_secret
from clic_edge.inference.site import Server, Site

if TYPE_CHECKING:
    from clic_edge.config import Runtimes


def granted(settings: Runtimes, *, trusted: bool) -> Site:
    """Return what a package may use, `trusted` when somebody vouches for it.

    Raises ConfigError ``no-secret`` where the file of a server's token is not there.
    """
    return Site(
        trusted=trusted,
        providers=settings.providers,
        seconds=settings.seconds,
        memory_mb=settings.memory_mb,
        servers=tuple(
            Server(
                name=name,
                url=one.url,
                ca_file=one.ca_file,
                token=read_secret(one.token_file) if one.token_file else "",
            )
            for name, one in settings.servers.items()
        ),
    )
