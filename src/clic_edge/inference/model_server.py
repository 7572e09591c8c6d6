"""A server that runs networks, over HTTPS: only those that the site names are ever asked.

Nothing of the environment counts: no proxy, no stored password, no redirect to somewhere else.
"""

from __future__ import annotations

import ssl
import weakref
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

import httpx

from clic_edge.errors import ConfigError, Defect, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.inference.site import Server, Site

_LONGEST_METADATA = 1 << 20
_FINE, _ABSENT = 200, {400, 404}
"""400 is what Triton says of a network that it does not have."""
_LATER = {408, 425, 429, 500, 502, 503, 504}
"""Of a server that may do better later; 500 too, as MLServer says while it loads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is sent to a server, and how much may come back."""

    content: bytes = field(repr=False)
    headers: Mapping[str, str]
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered."""

    content: bytes = field(repr=False)
    headers: Mapping[str, str]


class ModelServer:
    """One server of the site, by the name that packages give it."""

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        server = _named(name, site)
        self._client = httpx.Client(
            base_url=server.url,
            verify=_trust(server),
            timeout=site.seconds,
            headers=_headers(server),
            trust_env=False,
        )
        weakref.finalize(self, self._client.close)

    def ask(self, path: str, question: Question | None = None) -> Reply:
        """Return what lies at `path`, or the answer to what is posted there.

        Raises
        ------
        Transient
            ``server-unreachable``: no answer, or none yet.
        ConfigError
            ``server-untrusted``: its certificate is not one that the site trusts.
        Defect
            ``server-model``: it has no such network; ``network-failed``: it can't, or says more
            than was asked for.

        """
        asked = self._client.build_request(
            "POST" if question else "GET",
            path,
            content=question.content if question else None,
            headers=question.headers if question else {},
        )
        try:
            response = self._client.send(asked, stream=True)
            try:
                content = _bounded(response, question.most_bytes if question else _LONGEST_METADATA)
            finally:
                response.close()
        except httpx.TransportError as error:
            raise self._unreached(error) from error
        except httpx.DecodingError as error:
            raise Defect(
                "network-failed", f"The server {self.name} packs its answer in no way that we know."
            ) from error
        self._require_fine(response.status_code)
        return Reply(content=content, headers=response.headers)

    def _require_fine(self, status: int) -> None:
        if status in _LATER:
            raise Transient("server-unreachable", f"The server {self.name} answers HTTP {status}.")
        if status in _ABSENT:
            raise Defect(
                "server-model", f"The server {self.name} does not know the package's network."
            )
        if status != _FINE:
            raise Defect("network-failed", f"The server {self.name} answers HTTP {status}.")

    def _unreached(self, error: httpx.TransportError) -> ConfigError | Transient:
        cause: BaseException | None = error
        while cause:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return ConfigError(
                    "server-untrusted",
                    f"The server {self.name} shows a certificate that this site does not trust.",
                )
            cause = cause.__cause__ or cause.__context__
        return Transient("server-unreachable", f"The server {self.name} does not answer.")


def _named(name: str, site: Site) -> Server:
    for server in site.servers:
        if server.name == name:
            return server
    nearest = get_close_matches(name, [one.name for one in site.servers], n=1, cutoff=0)
    advice = f"is it '{nearest[0]}'?" if nearest else "the site's settings name none."
    raise ConfigError("server-unknown", f"The package asks for the server '{name}'; {advice}")


def _headers(server: Server) -> dict[str, str]:
    plain = {"Accept-Encoding": "identity"}  # packing numbers takes longer than sending them
    return plain | ({"Authorization": f"Bearer {server.token}"} if server.token else {})


def _trust(server: Server) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("server-untrusted", f"{server.ca_file} holds no certificate.") from error


def _bounded(response: httpx.Response, most_bytes: int) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > most_bytes:
            raise Defect("network-failed", "A server says far more than it was asked for.")
        parts.append(part)
    return b"".join(parts)
