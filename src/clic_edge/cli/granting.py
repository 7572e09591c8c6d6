"""What a package that a command names may use on this site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.cli.context import context_of
from clic_edge.config import load_settings
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from clic_edge.inference.site import Site


def site_for(context: typer.Context, package: Path) -> Site:
    """Return what the settings grant a package: more where somebody whom the site trusts signed it.

    Without a settings file it is what is granted anywhere.
    """
    from clic_edge.inference.signing import verify_signature  # noqa: PLC0415 - slow to load
    from clic_edge.inference.site import HERE  # noqa: PLC0415 - as above
    from clic_edge.pipeline.granting import granted  # noqa: PLC0415 - as above

    path = context_of(context).settings_path
    if not path.exists():
        return HERE
    settings = load_settings(path)
    try:
        verify_signature(package, settings.appliance.model_keys)
    except Defect:
        return granted(settings.runtimes, trusted=False)
    return granted(settings.runtimes, trusted=True)
