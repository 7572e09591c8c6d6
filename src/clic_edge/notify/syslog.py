"""Syslog: RFC 5424 by datagrams (RFC 5426), over TCP (RFC 6587, counted) or TLS (RFC 5425)."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from clic_edge.domain.notice import Urgency
from clic_edge.errors import Transient
from clic_edge.notify.wording import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.config import Syslog
    from clic_edge.domain.notice import Notice
    from clic_edge.notify.wording import Letterhead

SEVERITIES: Final = MappingProxyType({Urgency.INFO: 6, Urgency.WARNING: 4, Urgency.ERROR: 3})
"""RFC 5424 6.2.1: informational, warning, error."""
_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_HOST: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A collector of syslog."""

    settings: Syslog
    head: Letterhead
    name: str = "syslog"
    gathers: bool = False

    @property
    def at_least(self) -> Urgency:
        """The least urgent that it takes."""
        return Urgency(self.settings.at_least)

    def send(self, notices: Sequence[Notice]) -> None:
        """Tell each notice in a line of its own. Raises Transient ``syslog-away``."""
        try:
            with self._collector() as collector:
                for one in notices:
                    collector.sendall(self._framed(self.line(one)))
        except (OSError, UnicodeError) as error:  # the latter: no name that can be looked up
            raise Transient(
                "syslog-away", "The syslog collector can't be reached, or is not whom it should be."
            ) from error

    def line(self, notice: Notice) -> bytes:
        """Return a notice as RFC 5424 has it; its identifier and urgency are structured data."""
        priority = 8 * self.settings.facility + SEVERITIES[notice.urgency]
        host = "".join(sign for sign in socket.gethostname() if "!" <= sign <= "~")[:_LONGEST_HOST]
        told = {"id": notice.notice_id, "box": self.head.appliance, "about": notice.about}
        told |= {"detail": notice.detail, "link": self.head.link(notice)}
        # 32473 is the enterprise number that RFC 5612 keeps for documentation: ours has none.
        data = " ".join(f'{name}="{_escaped(value)}"' for name, value in told.items() if value)
        return (
            (
                f"<{priority}>1 {notice.at:%Y-%m-%dT%H:%M:%S.%f}Z {host or '-'} clic-edge "
                f"{os.getpid()} {notice.kind} [notice@32473 {data}] "
            ).encode()
            + b"\xef\xbb\xbf"
            + sentence(notice, self.head).encode()
        )

    def _collector(self) -> socket.socket:
        settings = self.settings
        if settings.transport == "local":
            collector = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            return _opened(collector, str(settings.path))
        where = (settings.host, settings.port)
        if settings.transport == "udp":
            ((family, kind, *_, address), *_) = socket.getaddrinfo(*where, type=socket.SOCK_DGRAM)
            return _opened(socket.socket(family, kind), address)
        collector = socket.create_connection(where, timeout=_TIMEOUT_SECONDS)
        if settings.transport == "tcp":
            return collector
        context = ssl.create_default_context(cafile=settings.ca_file)
        return context.wrap_socket(collector, server_hostname=settings.host)

    def _framed(self, line: bytes) -> bytes:
        counted = self.settings.transport in {"tcp", "tls"}
        return f"{len(line)} ".encode() + line if counted else line


def _opened(collector: socket.socket, address: tuple[object, ...] | str) -> socket.socket:
    collector.settimeout(_TIMEOUT_SECONDS)
    try:
        collector.connect(address)
    except OSError:
        collector.close()
        raise
    return collector


def _escaped(value: str) -> str:
    """RFC 5424 6.3.3."""
    return "".join(f"\\{sign}" if sign in '"\\]' else sign for sign in value if sign >= " ")
