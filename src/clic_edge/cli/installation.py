"""`clic-edge site`: files of the machine that follow from the settings."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import note
from clic_edge.cli.context import context_of
from clic_edge.config import FolderDestination, load_settings, read_secret
from clic_edge.config.archive import archive_configuration
from clic_edge.config.outward import peers
from clic_edge.errors import ConfigError, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.config import Settings
    from clic_edge.config.outward import Peer

app = typer.Typer(help="Files of this machine that follow from the settings.", no_args_is_help=True)
_ARCHIVE = Path("/etc/clic-edge/orthanc")
_SITE = "20-site.json"
_ORTHANC, _GROUP = "clic-edge-orthanc", "clic-edge"
_RESOLVER = Path("/etc/resolv.conf")
_DROP_IN = Path("clic-edge-worker.service.d") / "50-network.conf"
_OF_BACKUP = Path("clic-edge-backup.service.d") / "50-network.conf"


@app.command()
def network(
    context: typer.Context,
    into: Annotated[
        Path | None,
        typer.Option(help="Folder of units, e.g. /etc/systemd/system; without it, it is printed."),
    ] = None,
) -> None:
    """Write whom the worker may reach: Orthanc, and who the settings name, as systemd knows it.

    The backup of the night may reach the database, where that is on another machine.

    Names are resolved now: run it again when an address changes, then `systemctl daemon-reload`
    and restart the worker. A name without an address is left out and said; the exit code is 4.

    Example: `clic-edge site network --into /etc/systemd/system`
    """
    settings = load_settings(context_of(context).settings_path)
    found = {peer: addresses_of(peer) for peer in peers(settings)}
    text = "\n".join([*_allowed(found), *_folders(settings)]) + "\n"
    if into is None:
        typer.echo(text, nl=False)
    else:
        database = {one: found[one] for one in found if one.what == "appliance.database"}
        _write(into / _OF_BACKUP, "\n".join(_allowed(database)) + "\n")
        _write(into / _DROP_IN, text)
        note(f"{into / _DROP_IN}: {sum(bool(one) for one in found.values())} of {len(found)}")
    if lost := [f"{peer.host} ({peer.what})" for peer, those in found.items() if not those]:
        raise Transient(
            "name-unresolved",
            f"No address is known of {', '.join(lost)}: the worker can't reach it; run this again "
            "when it has one.",
        )


@app.command()
def orthanc(
    context: typer.Context,
    into: Annotated[Path, typer.Option(help="Folder of Orthanc's configuration.")] = _ARCHIVE,
) -> None:
    """Write what Orthanc is told of this site: who may log in, and its TLS; then restart it.

    Makes the password where `orthanc.password_file` is not there yet. What it writes is the user's
    who runs Orthanc (clic-edge-orthanc) where root runs this.

    Example: `sudo clic-edge site orthanc`
    """
    settings = load_settings(context_of(context).settings_path).orthanc
    if not settings.username or settings.password_file is None:
        raise ConfigError(
            "orthanc-open",
            "Orthanc lets nobody in without a password: name `orthanc.username` and "
            "`orthanc.password_file`.",
        )
    if not settings.password_file.exists():
        _write(settings.password_file, f"{secrets.token_urlsafe(32)}\n", group=_GROUP)
        note(f"{settings.password_file} made")
    text = archive_configuration(settings, read_secret(settings.password_file))
    _write(into / _SITE, text, user=_ORTHANC)
    note(f"{into / _SITE}: {settings.username} may log in; restart clic-edge-orthanc")


def addresses_of(peer: Peer) -> tuple[str, ...]:
    """Return the addresses of a peer, none where its name has none."""
    try:
        found = socket.getaddrinfo(peer.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(sorted({str(address[0]) for *_, address in found}))


def _allowed(found: dict[Peer, tuple[str, ...]]) -> Iterator[str]:
    yield "# Written by `clic-edge site network`; run it again when the settings or addresses change."
    yield "[Service]"
    for peer, addresses in found.items():
        lost = "" if addresses else ", which has no address now"
        yield f"# {_in_line(peer.what)}: {_in_line(peer.host)}{lost}"
        yield from (f"IPAddressAllow={address}" for address in addresses)
    if any(peer.host not in addresses for peer, addresses in found.items()):
        yield "# who resolves names"
        yield from (f"IPAddressAllow={address}" for address in _resolvers())


def _folders(settings: Settings) -> Iterator[str]:
    for name, destination in settings.destinations.items():
        if isinstance(destination, FolderDestination):
            yield f"# destinations.{_in_line(name)}"
            yield f'ReadWritePaths="-{_in_line(str(destination.path)).replace("%", "%%")}"'


def _in_line(text: str) -> str:
    """Return a text of the settings that ends neither the line of a unit nor what is quoted there."""
    return "".join(one if one.isprintable() and one not in '"\\' else "?" for one in text)


def _resolvers() -> Iterator[str]:
    try:
        lines = _RESOLVER.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        word, _, address = line.partition(" ")
        if word == "nameserver" and not address.startswith("127."):
            yield address.strip().partition("%")[0]


def _write(path: Path, text: str, *, user: str = "", group: str = "") -> None:
    """Write a file, a secret of one user or group only where one is named, that is there."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        part.touch(0o600 if user or group else 0o644)
        part.write_text(text, encoding="utf-8")
        if os.geteuid() == 0:
            os.chown(part, *_owner(user, group))
        if user or group:
            part.chmod(0o440 if group else 0o400)
        part.rename(path)
    except OSError as error:
        raise ConfigError("out-unwritable", f"{path} cannot be made: {error.strerror}.") from error


def _owner(user: str, group: str) -> tuple[int, int]:
    """Return the ids of a user and a group, -1 for what is not named or not known here."""
    uid = next((one.pw_uid for one in pwd.getpwall() if one.pw_name == user), -1)
    gid = next((one.gr_gid for one in grp.getgrall() if one.gr_name == group), -1)
    return uid, gid
