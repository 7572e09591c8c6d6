"""The fault bench: what a scenario saw, and the page that is made of it.

A scenario is a test of the marker ``faults``. It asserts what it must, and tells what it saw by
the fixture `told`; `make faults` runs all and writes docs/reference/faults.md.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sites import ours_in

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from servers import OrthancServer
    from sites import Site

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "reference" / "faults.md"
HEAD = """\
# Faults and outcomes

What became of the studies when something broke, as `make faults` saw it with real processes: Orthanc with the plugin, the worker, the pages, the database and a PACS.
The run writes this page. A section changes only when each of its scenarios was seen.
What a site sees of a fault, and what to do, is in [faults](../how-to/faults.md).

- **end**: the state in which the studies' cases ended, the fault being over. A study ends in exactly one.
- **lost**: studies that ended nowhere, and result objects that the PACS lacks.
- **doubled**: result objects beyond the one set, predictions made twice, and studies with two answers.
- **others**: what became of other studies that came at that time: of another patient, for another pipeline and destination where the fault is of one case.
"""
NOT_HELD_UP = "not held up"
"""Said only where another study came to its end while the fault lasted."""
WHEN_BACK = "delivered, when it is back"
"""Said where nothing could be done for anyone, and what had come was delivered afterwards."""

WRITTEN_BEFORE = "not held up, where their results were written before"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one scenario saw of one fault: nothing that differs from run to run."""

    fault: str
    """What was done, as a sentence without its full stop."""
    where: str
    """At which place or step."""
    end: str
    """The states in which the cases ended."""
    lost: int
    doubled: int
    others: str
    """What became of other studies meanwhile."""
    note: str = ""
    """What was told to whom meanwhile."""

    @property
    def row(self) -> str:
        """A row of the table."""
        cells = (self.fault, self.where, self.end, self.lost, self.doubled, self.others, self.note)
        return f"| {' | '.join(map(str, cells))} |"


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is there of some studies when all is over."""

    end: str
    lost: int
    doubled: int

    def and_after(self, again: Account) -> Account:
        """Return this end, with what was lost or doubled by what a person did then."""
        lost, doubled = self.lost + again.lost, self.doubled + again.doubled
        return replace(self, lost=lost, doubled=doubled)

    def outcome(self, *, fault: str, where: str, others: str, note: str = "") -> Outcome:
        """Return what a scenario tells of this."""
        return Outcome(fault=fault, where=where, others=others, note=note, **asdict(self))


def account(
    site: Site,
    studies: Iterable[str],
    pacs: OrthancServer | None = None,
    *,
    elsewhere: Collection[str] = (),
) -> Account:
    """Return what became of studies, from the ledger and from the content of the PACS.

    `elsewhere` are the SOP Instance UIDs of what other PACS hold.
    """
    ends, lost, doubled = Counter[str](), 0, 0
    for study_id in studies:
        every = site.cases(study_id)
        valid = [case for case in every if not site.ledger.cases.is_superseded(case.case_id)]
        lost += not any(case.state.is_end for case in valid)
        by_pipeline = Counter(case.pipeline for case in valid)
        doubled += sum(by_pipeline.values()) - len(by_pipeline)
        ends.update(str(case.state) for case in valid)
        deliveries = site.ledger.deliveries
        due = {row.sop_instance_uid for case in every for row in deliveries.results(case.case_id)}
        owed = {
            row.sop_instance_uid
            for case in valid
            if case.state is CaseState.DELIVERED
            for row in deliveries.results(case.case_id)
        }
        held = ours_in(pacs or site.pacs, study_id).keys()
        lost += len(owed - held - {*elsewhere})
        doubled += len(held - due)
        doubled += sum(_predictions(site, case.case_id) > len(case.series_ids) for case in valid)
    return Account(end=", ".join(sorted(ends)), lost=lost, doubled=doubled)


def _predictions(site: Site, case_id: str) -> int:
    case = site.ledger.cases.case(case_id)
    since = case.received_at - timedelta(days=2)  # the clock may have been set back
    rows = site.ledger.predictions.rows(since)
    return [row.case_id for row in rows].count(case_id)


# --- the page


def scenarios(module: Path) -> list[str]:
    """Return the names of a module's tests, in their order."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def modules() -> list[Path]:
    """Return the modules with scenarios, in the order of the page."""
    return sorted(HERE.glob("test_*.py"))


def title(module: Path) -> str:
    """Return the heading of a module's section: the first sentence of its docstring."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or module.stem
    return docstring.splitlines()[0].rstrip(".")


def section(module: Path, outcomes: Sequence[Outcome]) -> str:
    """Return a module's section of the page."""
    seen_by = ", ".join(f"`{name}`" for name in scenarios(module))
    rows = "\n".join(dict.fromkeys(outcome.row for outcome in outcomes))
    return f"""\
## {title(module)}

| fault | where | end | lost | doubled | others | note |
|---|---|---|---|---|---|---|
{rows}

Seen by {seen_by} in `{module.relative_to(HERE.parent.parent)}`.
"""


def page(before: str, seen: Mapping[str, Mapping[str, Sequence[Outcome]]]) -> str:
    """Return the page with new sections for the modules whose every scenario was seen.

    `seen` holds the outcomes by the module's file name and the scenario's. Other modules keep
    the sections that they had; what has no module any more has no section.
    """
    parts = re.split(r"(?m)^(?=## )", before)[1:]
    kept = {part.splitlines()[0].removeprefix("## "): part.rstrip() + "\n" for part in parts}
    sections = []
    for module in modules():
        told = seen.get(module.name, {})
        names = scenarios(module)
        if all(told.get(name) for name in names):
            sections.append(section(module, [one for name in names for one in told[name]]))
        elif title(module) in kept:
            sections.append(kept[title(module)])
    return "\n".join((HEAD, *sections))
