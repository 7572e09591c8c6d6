"""`clic-edge backup` and `clic-edge restore`: a whole site, and its keys apart from it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import note, stdout
from clic_edge.cli.context import DEFAULT_SETTINGS, context_of, opened
from clic_edge.config import read_secret
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.errors import ClicEdgeError, ConfigError
from clic_edge.ledger.backup import back_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.app import Appliance

Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File whose first line seals the keys."),
]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    keys: Annotated[
        Path | None, typer.Option(help="File to write the keys to, sealed; keep it elsewhere.")
    ] = None,
    passphrase_file: Passphrase = None,
) -> None:
    """Back up the whole site while it runs: settings, models, ledger and audit trail.

    Without --keys the site's key and the other secrets are in no file: what is not known to be
    plain is left out. Images are not in it; the PACS has them.

    Example: `clic-edge backup site.backup --keys site.keys --passphrase-file /root/passphrase`
    """
    from clic_edge.backup.archive import Site, back_up_site  # noqa: PLC0415 - for a fast --help

    if (keys is None) != (passphrase_file is None):
        raise ConfigError("passphrase-missing", "--keys and --passphrase-file come together.")
    appliance = opened(context)
    site = Site(
        settings_path=context_of(context).settings_path,
        settings=appliance.settings,
        copy_ledger=partial(back_up, appliance.engine),
    )
    passphrase = read_secret(passphrase_file) if passphrase_file else ""
    with told_when_it_fails(appliance):
        done = back_up_site(site, file, keys=keys, passphrase=passphrase)
    held = "" if done.cases is None else f", {done.cases} cases"
    stdout.print(f"{file}: {done.size:,} bytes{held}, key {done.key_id}", soft_wrap=True)
    if keys is None:
        note(
            f"No secret is in it. Without the key {done.key_id} no pseudonym can be made again: "
            "back it up with --keys, and keep that file apart from this one."
        )
    for path in done.elsewhere:
        note(f"{path} lies outside of the site's folders and is in neither file.")


def restore(
    file: Annotated[Path, typer.Argument(help="What `clic-edge backup` wrote.")],
    *,
    keys: Annotated[Path, typer.Option(help="The keys that belong to it.")],
    passphrase_file: Annotated[
        Path, typer.Option("--passphrase-file", help="File whose first line opens the keys.")
    ],
    into: Annotated[Path, typer.Option(help="Folder of the settings.")] = DEFAULT_SETTINGS.parent,
) -> None:
    """Make a site of its backup on a machine that has none; `install.sh --restore` calls this.

    Every file is looked at before the first is written. Cases that were under way go on as soon
    as their studies are sent again; what was delivered is known, and not delivered twice.

    Example: `clic-edge restore site.backup --keys site.keys --passphrase-file /root/passphrase`
    """
    from clic_edge.backup.restoring import restore_site  # noqa: PLC0415 - as above

    done = restore_site(file, keys=keys, passphrase=read_secret(passphrase_file), into=into)
    told = done.manifest
    stdout.print(
        f"{done.settings_path}: the site of {told.made_at:%Y-%m-%d %H:%M} UTC, key {told.key_id}, "
        f"{done.secrets} secrets",
        soft_wrap=True,
    )


@contextmanager
def told_when_it_fails(appliance: Appliance) -> Iterator[None]:
    """Leave a notice of a backup that was not made."""
    try:
        yield
    except ClicEdgeError as error:
        now = datetime.now(UTC)
        notice = Notice(
            kind=NoticeKind.BACKUP_FAILED,
            key=f"{now:%Y-%m-%d} {error.code}",
            at=now,
            urgency=Urgency.ERROR,
            about=appliance.settings.appliance.name,
            detail=error.code,
        )
        appliance.ledger.notices.put(notice)
        raise
