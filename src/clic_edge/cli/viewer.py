"""`clic-edge viewer install`: OHIF for the box, from npm or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clic_edge.cli.console import note
from clic_edge.cli.context import context_of
from clic_edge.config import load_settings
from clic_edge.errors import ConfigError

app = typer.Typer(help="The viewer that `clic-edge web` serves.", no_args_is_help=True)


@app.callback()
def viewer() -> None:
    """Keep `install` a word of its own: typer drops the name of an only command."""


@app.command()
def install(
    context: typer.Context,
    archive: Annotated[
        Path | None, typer.Option(help="The archive, where there is no internet.")
    ] = None,
) -> None:
    """Put OHIF into the folder `web.viewer`: fetched from npm, its SHA-512 compared, unpacked.

    Changes nothing where this version is there already.

    Example: `clic-edge viewer install --archive app-3.12.10.tgz`
    """
    from clic_edge.web import install as viewer_files  # noqa: PLC0415 - slow to load

    folder = load_settings(context_of(context).settings_path).web.viewer.resolve()
    version = f"OHIF {viewer_files.VERSION}"
    if viewer_files.is_installed(folder):
        note(f"{version} is in {folder}.")
        return
    viewer_files.install(_read(archive) if archive else viewer_files.fetch(), folder)
    note(f"{version} is in {folder} now; `clic-edge web` serves it.")


def _read(archive: Path) -> bytes:
    try:
        return archive.read_bytes()
    except OSError as error:
        raise ConfigError("no-such-file", f"{archive}: {error.strerror}.") from error
