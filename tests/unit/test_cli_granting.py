"""A package that a command names gets what the site's settings grant, and more when it is signed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import typer
from sites import ROOT

from clic_edge.cli.context import Context
from clic_edge.cli.granting import site_for
from clic_edge.inference.signing import SIGNATURE
from clic_edge.inference.site import HERE

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = f"""
[appliance]
model_keys = "{ROOT}/configs/model-keys"
[runtimes]
seconds = 7.0
[runtimes.servers.region]
url = "https://networks.example"
"""


@pytest.fixture
def context(tmp_path: Path) -> typer.Context:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(SETTINGS)
    command = typer.main.get_command(typer.Typer(callback=lambda: None))
    return typer.Context(command, obj=Context(settings=settings, debug=False))


@pytest.mark.parametrize("signed", [True, False])
def test_a_package_gets_the_sites_means_and_trust_when_somebody_known_signed_it(
    tmp_path: Path, context: typer.Context, *, signed: bool
) -> None:
    package = shutil.copytree(ROOT / "models" / "hippocampus", tmp_path / "package")
    if not signed:
        (package / SIGNATURE).unlink()
    site = site_for(context, package)
    assert site.trusted is signed
    assert site.seconds == 7.0
    assert [one.name for one in site.servers] == ["region"]


def test_without_settings_a_package_gets_what_it_gets_anywhere(tmp_path: Path) -> None:
    command = typer.main.get_command(typer.Typer(callback=lambda: None))
    context = typer.Context(command, obj=Context(settings=tmp_path / "none.toml", debug=False))
    assert site_for(context, ROOT / "models" / "hippocampus") is HERE
