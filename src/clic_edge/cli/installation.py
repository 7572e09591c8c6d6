"""`clic-edge site`: files of the machine that follow from the settings."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import note
from clic_edge.cli.context import context_of
from clic_edge.config import FolderDestination, load_settings
from clic_edge.config.outward import peers
from clic_edge.errors import ConfigError, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.config import Settings
    from clic_edge.config.outward import Peer

app = typer.Typer(help="Files of this machine that follow from the settings.", no_args_is_help=True)
_RESOLVER = Path("/etc/resolv.conf")
_DROP_IN = Path("clic-edge-worker.service.d") / "50-network.conf"


@app.command()
def network(
    context: typer.Context,
    into: Annotated[
        Path | None,
        typer.Option(help="Folder of units, e.g. /etc/systemd/system; without it, it is printed."),
    ] = None,
) -> None:
    """Write whom the worker may reach: Orthanc, and who the settings name, as systemd knows it.

    Names are resolved now: run it again when an address changes, then `systemctl daemon-reload`
    and restart the worker. A name without an address is left out and said; the exit code is 4.

    Example: `clic-edge site network --into /etc/systemd/system`
    """
    settings = load_settings(context_of(context).settings_path)
    found = {peer: addresses_of(peer) for peer in peers(settings)}
    text = "\n".join(_lines(settings, found)) + "\n"
    if into is None:
        typer.echo(text, nl=False)
    else:
        _write(into / _DROP_IN, text)
        note(f"{into / _DROP_IN}: {sum(bool(one) for one in found.values())} of {len(found)}")
    if lost := [f"{peer.host} ({peer.what})" for peer, those in found.items() if not those]:
        raise Transient(
            "name-unresolved",
            f"No address is known of {', '.join(lost)}: the worker can't reach it; run this again "
            "when it has one.",
        )


def addresses_of(peer: Peer) -> tuple[str, ...]:
    """Return the addresses of a peer, none where its name has none."""
    try:
        found = socket.getaddrinfo(peer.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(sorted({str(address[0]) for *_, address in found}))


def _lines(settings: Settings, found: dict[Peer, tuple[str, ...]]) -> Iterator[str]:
    yield "# Written by `clic-edge site network`; run it again when the settings or addresses change."
    yield "[Service]"
    for peer, addresses in found.items():
        yield f"# {peer.what}: {peer.host}" + ("" if addresses else ", which has no address now")
        yield from (f"IPAddressAllow={address}" for address in addresses)
    if any(peer.host not in addresses for peer, addresses in found.items()):
        yield "# who resolves names"
        yield from (f"IPAddressAllow={address}" for address in _resolvers())
    for name, destination in settings.destinations.items():
        if isinstance(destination, FolderDestination):
            yield f"# destinations.{name}"
            yield f"ReadWritePaths=-{destination.path}"


def _resolvers() -> Iterator[str]:
    try:
        lines = _RESOLVER.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        word, _, address = line.partition(" ")
        if word == "nameserver" and not address.startswith("127."):
            yield address.strip().partition("%")[0]


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError("out-unwritable", f"{path} cannot be made: {error.strerror}.") from error
