"""What Orthanc lets in over HTTP: nothing that brings instances where the plugin sees no room."""

from __future__ import annotations

import shutil
import urllib.error
from typing import TYPE_CHECKING

import pytest
from servers import OrthancOptions, orthanc_server
from sites import ROOT, environment

from clic_edge.config.archive import archive_configuration
from clic_edge.config.receiving import Orthanc

if TYPE_CHECKING:
    from pathlib import Path

    from servers import OrthancServer

pytestmark = pytest.mark.servers
PLUGINS = ROOT / "orthanc-plugins"
BRINGING = ("/instances", "//instances/", "/%69nstances", "/dicom-web/studies/", "/web/studies/1.2")
OTHERS = ("/tools/lookup", "/dicom-web/studies/1.2/series", "/clic-edge/studies/instances")
PETABYTE = 1 << 30
"""In megabytes."""


def status(server: OrthancServer, path: str) -> int:
    """Return what Orthanc answers to a request that brings nothing that is an image."""
    try:
        server.post(path, b"no image")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.mark.parametrize(("said", "lets_in"), [("room", True), ("no room", False), ("", False)])
def test_what_brings_instances_is_let_in_where_the_plugin_says_so_and_all_else_always(
    tmp_path: Path, said: str, *, lets_in: bool
) -> None:
    silent = tmp_path / "plugins" / "clic_edge.py"
    silent.parent.mkdir()
    silent.touch()
    shutil.copy(PLUGINS / "room.lua", silent.parent)
    configuration = tmp_path / "configuration"
    configuration.mkdir()
    (configuration / "10-appliance.json").symlink_to(ROOT / "appliance" / "orthanc.json")
    told = Orthanc(username="clic-edge", password_file=tmp_path / "password")
    (configuration / "20-site.json").write_text(archive_configuration(told, "a secret"))
    reserve = 0 if lets_in else PETABYTE
    options = OrthancOptions(
        template=configuration,
        python_plugin=PLUGINS / "clic_edge.py" if said else silent,
        environment=environment() | {"CLIC_EDGE_ORTHANC_RESERVE_MB": str(reserve)},
        log_in=("clic-edge", "a secret"),
    )
    with orthanc_server(options) as server:
        refused = {path: status(server, path) == 403 for path in BRINGING}
        assert refused == dict.fromkeys(BRINGING, not lets_in)
        assert 403 not in {status(server, path) for path in OTHERS}
        assert server.get("/instances") == []
