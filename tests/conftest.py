"""Fixtures that every layer may use."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from model_servers import triton
from servers import OrthancServer, PostgresServer, orthanc_server, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.inference.site import Site

ROOT = Path(__file__).resolve().parent.parent

LONGEST = ("test_viewer", "test_crash", "test_pages_browser", "test_line_bad_input")
"""Modules that take half a minute and more, the longest first."""

# Whether a property holds is not a matter of how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# What is imported stays: the garbage collector would walk all of it, again and again.
gc.disable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module of which ``-m "not A and not B"`` leaves out every test: some load torch."""
    expression = config.getoption("markexpr")
    if collection_path.suffix != ".py" or not re.fullmatch(r"not \w+( and not \w+)*", expression):
        return None
    marked = re.search(
        r"^pytestmark = (.+)", collection_path.read_text(encoding="utf-8"), re.MULTILINE
    )
    marks = set(re.findall(r"mark\.(\w+)", marked[1])) if marked else set()
    return True if marks & set(re.findall(r"not (\w+)", expression)) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that take longest: at the end, no process then waits for another.

    `make test` asks for modules in this order; by itself, pytest-xdist would begin with those of
    most tests.
    """
    ranks: dict[str, int] = {}
    for item in items:
        module = item.nodeid.partition("::")[0]
        if Path(module).stem in LONGEST:
            rank = LONGEST.index(Path(module).stem)
        elif item.get_closest_marker("servers"):
            rank = len(LONGEST)
        else:
            rank = len(LONGEST) + (1 if item.get_closest_marker("slow") else 2)
        ranks[module] = min(rank, ranks.get(module, rank))
    items.sort(key=lambda item: ranks[item.nodeid.partition("::")[0]])


def pytest_collection_finish() -> None:
    """Keep what was imported out of the sight of the garbage collector, and start it."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real test data, or skip and say where it is looked for."""
    named = os.environ.get("CLIC_EDGE_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "MANIFEST.csv").is_file():
        pytest.skip(f"no real test data: set CLIC_EDGE_TEST_DATA, or put it at {folder}")
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture
def orthanc() -> Iterator[OrthancServer]:
    """Return an empty Orthanc of the test's own."""
    with orthanc_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Return a PostgreSQL with one empty database, shared by the session's tests."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def triton_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return the site of a Triton that serves the networks of `model_servers`."""
    with triton(tmp_path_factory.mktemp("triton")) as site:
        yield site
