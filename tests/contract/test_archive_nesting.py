"""Orthanc, guarded as its unit guards it, outlives what lies too deep, by whatever door it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hostile_files as made
import pytest
from hostile_doors import (
    DEEPEST,
    by_c_store,
    by_command,
    by_instances,
    by_stow,
    deep,
    guarded,
    require_guard,
)
from servers import OrthancOptions, OrthancServer, orthanc_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.servers
OK, BAD_REQUEST = 200, 400
HTTP = pytest.mark.parametrize("door", [by_instances, by_stow])


@pytest.fixture(scope="module")
def orthanc() -> Iterator[OrthancServer]:
    """Run an Orthanc without our plugin: nothing else stands between it and the sender."""
    require_guard()
    with orthanc_server(OrthancOptions(environment=guarded({}))) as server:
        yield server


@pytest.fixture(autouse=True)
def _goes_on(orthanc: OrthancServer) -> Iterator[None]:
    yield
    assert orthanc.get("/system"), "it is the same Orthanc: nobody starts another here"


@HTTP
@pytest.mark.parametrize(
    "depth", [DEEPEST + 1, 100_000], ids=["one too deep", "a hundred thousand deep"]
)
def test_what_comes_over_http_is_refused(
    orthanc: OrthancServer, door: Callable[[bytes, OrthancServer], int], depth: int
) -> None:
    assert door(deep(depth), orthanc) == BAD_REQUEST


def test_an_image_by_dicom_ends_its_association_only(orthanc: OrthancServer) -> None:
    assert by_c_store(deep(100_000), orthanc) is None


def test_a_command_of_a_stranger_ends_its_association_only(orthanc: OrthancServer) -> None:
    assert by_command(20_000, orthanc)


@HTTP
def test_what_is_let_in_can_be_asked_for(
    orthanc: OrthancServer, door: Callable[[bytes, OrthancServer], int]
) -> None:
    assert door(deep(DEEPEST, number=2), orthanc) == OK
    (instance,) = orthanc.get("/instances")
    for question in ("tags", "simplified-tags"):
        assert orthanc.get(f"/instances/{instance}/{question}")
    assert orthanc.get(f"/dicom-web/studies/{made.ROOT}.2.1/metadata")
    orthanc.delete(f"/instances/{instance}")
