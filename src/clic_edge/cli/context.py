"""What the commands share: which settings, and the appliance that they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clic_edge.app import Appliance
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import require_ledger

if TYPE_CHECKING:
    from clic_edge.ledger import Ledger

DEFAULT_SETTINGS = Path("/etc/clic-edge/clic-edge.toml")
_SOURCE_SETTINGS = Path(__file__).resolve().parents[3] / "configs" / "clic-edge.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The options in front of the command."""

    settings: Path | None
    debug: bool

    @property
    def settings_path(self) -> Path:
        """The settings file. Raises ConfigError ``no-settings`` when there is none to find."""
        if self.settings:
            return self.settings
        for path in (DEFAULT_SETTINGS, _SOURCE_SETTINGS):
            if path.is_file():
                return path
        raise ConfigError(
            "no-settings", f"There is no {DEFAULT_SETTINGS}; name a settings file with --config."
        )


def context_of(context: typer.Context) -> Context:
    """Return the options in front of the command."""
    found = context.obj
    return found if isinstance(found, Context) else Context(settings=None, debug=False)


def appliance_of(context: typer.Context) -> Appliance:
    """Return the appliance that the options name."""
    return Appliance.open(context_of(context).settings_path)


def opened(context: typer.Context) -> Appliance:
    """Return the appliance that the options name, its ledger there. Raises as `require_ledger`."""
    appliance = appliance_of(context)
    require_ledger(appliance.engine)
    return appliance


def ledger_of(context: typer.Context) -> Ledger:
    """Return the ledger, which only the worker makes. Raises as `require_ledger`."""
    return opened(context).ledger
