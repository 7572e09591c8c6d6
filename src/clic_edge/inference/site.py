"""What a site grants the runtimes of its models: devices, servers, memory and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs networks for this site."""

    name: str
    """As packages name it."""
    url: str
    ca_file: Path | None = None
    """Certificates that are trusted for it, in place of the system's."""
    token: str = field(default="", repr=False)
    """Sent as a bearer token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a package may use here. By default nobody vouches for it."""

    trusted: bool = False
    """Somebody whom the site trusts has signed the package. What comes with one that nobody
    signed runs only where it can be isolated completely."""
    providers: tuple[str, ...] = ()
    """Execution providers of ONNX Runtime, best first; empty for whatever is there."""
    seconds: float = 600.0
    """How long a process or a server may take for one answer."""
    memory_mb: int = 16384
    """MiB that a process of a model may address."""
    servers: tuple[Server, ...] = ()


HERE = Site()
"""What a package is granted where nobody says otherwise."""
