"""Scenarios tell what they saw; a run of `make faults` writes the page of it."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.bench import PAGE, Outcome, page

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Callable[[Outcome], None]:
    """Return what takes an outcome; nothing may be lost or doubled in any."""

    def tell(outcome: Outcome) -> None:
        assert (outcome.lost, outcome.doubled) == (0, 0), outcome
        # Reports carry it from the processes that test to the one that writes.
        request.node.user_properties.append(("outcome", asdict(outcome)))

    return tell


class PageWriter:
    """Collects what passed, and writes the page at the end."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
        self._unseen: set[tuple[str, str]] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a scenario's outcomes; one that failed or was skipped takes its section with it."""
        path, _, name = report.nodeid.partition("::")
        module, scenario = Path(path).name, name.partition("[")[0]
        if not report.passed:
            self._unseen.add((module, scenario))
        elif report.when == "call":
            told = [Outcome(**one) for kind, one in report.user_properties if kind == "outcome"]
            self._seen[module][scenario] += told

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        for module, scenario in self._unseen:
            self._seen[module][scenario] = []
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), self._seen), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Write the page where `make faults` asks for it, in the process that sees all reports."""
    if os.environ.get("CLIC_EDGE_FAULTS_PAGE") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(PageWriter())
