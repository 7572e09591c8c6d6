"""What Orthanc lets in over HTTP: nothing that brings instances where the plugin sees no room."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from servers import OrthancOptions, orthanc_server
from sites import ROOT, environment, shipped_configuration

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers
PLUGINS = ROOT / "orthanc-plugins"
BRINGING = ("/instances", "//instances/", "/%69nstances", "/dicom-web/studies/", "/web/studies/1.2")
OTHERS = ("/tools/lookup", "/dicom-web/studies/1.2/series", "/clic-edge/studies/instances")
PETABYTE = 1 << 30
"""In megabytes."""


@pytest.mark.parametrize(("said", "lets_in"), [("room", True), ("no room", False), ("", False)])
def test_what_brings_instances_is_let_in_where_the_plugin_says_so_and_all_else_always(
    tmp_path: Path, said: str, *, lets_in: bool
) -> None:
    silent = tmp_path / "plugins" / "clic_edge.py"
    silent.parent.mkdir()
    silent.touch()
    shutil.copy(PLUGINS / "room.lua", silent.parent)
    reserve = 0 if lets_in else PETABYTE
    options = OrthancOptions(
        template=shipped_configuration(tmp_path / "configuration", "a secret"),
        python_plugin=PLUGINS / "clic_edge.py" if said else silent,
        environment=environment() | {"CLIC_EDGE_ORTHANC_RESERVE_MB": str(reserve)},
        log_in=("clic-edge", "a secret"),
    )
    with orthanc_server(options) as server:
        refused = {path: server.posted(path, b"no image") == 403 for path in BRINGING}
        assert refused == dict.fromkeys(BRINGING, not lets_in)
        assert 403 not in {server.posted(path, b"no image") for path in OTHERS}
        assert server.get("/instances") == []
