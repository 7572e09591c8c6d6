"""What Orthanc lets in over HTTP: nothing that brings instances where the plugin sees no room."""

from __future__ import annotations

import urllib.error
from typing import TYPE_CHECKING

import pytest
from servers import OrthancOptions, orthanc_server
from sites import ROOT, environment

if TYPE_CHECKING:
    from servers import OrthancServer

pytestmark = pytest.mark.servers
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


@pytest.mark.parametrize("has_room", [True, False])
def test_what_brings_instances_is_let_in_while_there_is_room_and_all_else_always(
    has_room: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    options = OrthancOptions(
        python_plugin=ROOT / "orthanc-plugins" / "clic_edge.py",
        environment=environment(),
        configuration={"ClicEdge": {"ReserveMegabytes": 0 if has_room else PETABYTE}},
    )
    with orthanc_server(options) as server:
        assert {path: status(server, path) == 403 for path in BRINGING} == dict.fromkeys(
            BRINGING, not has_room
        )
        assert 403 not in {status(server, path) for path in OTHERS}
        assert server.get("/instances") == []
