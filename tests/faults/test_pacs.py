"""A PACS errs, by DIMSE.

Each fault has a PACS, a pipeline and a study of its own. While it lasts a study for a PACS that
is well comes in and is delivered; then the fault is over.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from bad_wires import Wire, full_port
from faults.bench import NOT_HELD_UP, Outcome
from faults.peers import STEADY, Destination, Here, behind, site_with
from faulty_pacs import Commitment, Fault, FaultyPacs, faulty_pacs
from pynetdicom.sop_class import SegmentationStorage
from servers import free_port

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

pytestmark = [pytest.mark.servers, pytest.mark.faults]
SECONDS = 2.0
"""For an answer, where the fault is that none comes."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault that lasts until the scenario ends it."""

    fault: str
    where: str
    words: str
    """What the case that waits says."""
    code: str
    errs: Fault | Wire | None
    """The PACS, or the wire to it; None where nothing is there."""
    timeout_s: float = 60.0

    def start(self, port: int) -> AbstractContextManager[FaultyPacs | None]:
        """Run what errs at a port."""
        match self.errs:
            case Fault():
                return faulty_pacs(self.errs, port)
            case Wire():
                return behind(self.errs, port)
            case _:
                return nullcontext()


CONNECTS, ASSOCIATES, SENDS = "at the connection", "at the association", "at an object"
ENDED = "association ended"
LASTING = {
    "down": Case(
        fault="The PACS is down",
        where=CONNECTS,
        words="Nothing answers at",
        code="destination-unreachable",
        errs=None,
    ),
    "knows-us-not": Case(
        fault="It refuses the association for good: it does not know our AE title",
        where=ASSOCIATES,
        words="it does not know our AE title.",
        code="association-refused",
        errs=Fault(rejects=(1, 1, 3)),
    ),
    "is-called-else": Case(
        fault="It refuses the association for good: it has another AE title",
        where=ASSOCIATES,
        words="it is not called by that AE title.",
        code="association-refused",
        errs=Fault(rejects=(1, 1, 7)),
    ),
    "is-busy": Case(
        fault="It refuses the association for now: congestion",
        where=ASSOCIATES,
        words="it is busy.",
        code="association-refused",
        errs=Fault(rejects=(2, 3, 1)),
    ),
    "takes-no-sr": Case(
        fault="It accepts a presentation context for SEG, and none for SR",
        where=ASSOCIATES,
        words="took 1 of 3 objects (context rejected)",
        code="destination-rejected",
        errs=Fault(sop_classes=(SegmentationStorage,)),
    ),
    "takes-nothing": Case(
        fault="It accepts no presentation context",
        where=ASSOCIATES,
        words="took 0 of 3 objects (context rejected)",
        code="destination-rejected",
        errs=Fault(sop_classes=()),
    ),
    "aborts-first": Case(
        fault="It aborts in place of an answer",
        where="at the first object",
        words="ended the association",
        code="association-aborted",
        errs=Fault(abort_at=0),
    ),
    "aborts-second": Case(
        fault="It aborts in place of an answer",
        where="at the second object",
        words=f"took 1 of 3 objects ({ENDED})",
        code="destination-rejected",
        errs=Fault(abort_at=1),
    ),
    "is-cut": Case(
        fault="The connection is reset",
        where="in the middle of an object",
        words="ended the association",
        code="association-aborted",
        errs=Wire(cut_after=6000),
    ),
    "stops-reading": Case(
        fault="It stops reading, and the connection stays open",
        where="in the middle of an object",
        words="ended the association",
        code="association-aborted",
        errs=Wire(stops_after=6000),
        timeout_s=SECONDS,
    ),
    "half-answer": Case(
        fault="It stops in the middle of an answer, and the connection stays open",
        where=ASSOCIATES,
        words="ended the association",
        code="association-aborted",
        errs=Wire(answers_until=100),
        timeout_s=SECONDS,
    ),
} | {
    f"says-{status:04x}": Case(
        fault=f"It answers 0x{status:04X}, {meaning}",
        where=SENDS,
        words=f"took 0 of 3 objects (0x{status:04X})",
        code="destination-rejected",
        errs=Fault(statuses=(status,)),
    )
    for status, meaning in {
        0xA700: "out of resources",
        0xA900: "data set does not match SOP class",
        0xC000: "cannot understand",
        0x0110: "processing failure",
        0x0122: "SOP class not supported",
    }.items()
}
ASKED = 'confirm = "c-find"\n'
REPORTS = free_port()


def _commits(timeout_s: float) -> str:
    return f'[commitment]\nway = "own-association"\nport = {REPORTS}\ntimeout_s = {timeout_s}\n'


DESTINATIONS = {
    **{
        name: Destination(port=free_port(), timeout_s=one.timeout_s)
        for name, one in LASTING.items()
    },
    "drops": Destination(port=free_port(), timeout_s=SECONDS),
    "hangs": Destination(port=free_port(), timeout_s=600),
    "slow-reader": Destination(port=free_port()),
    "warns": Destination(port=free_port()),
    "aborts-each": Destination(port=free_port()),
    "loses": Destination(port=free_port(), profile=ASKED),
    "commits-late": Destination(port=free_port(), profile=_commits(0.5)),
    "commits-twice": Destination(port=free_port(), profile=_commits(60)),
    "commits-never": Destination(port=free_port(), profile=_commits(0.5)),
    "commits-stray": Destination(port=free_port(), profile=_commits(60)),
    "commits-not": Destination(port=free_port(), profile=_commits(60)),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with site_with(tmp_path_factory.mktemp("pacs"), DESTINATIONS) as here:
        yield here


@pytest.mark.parametrize("name", LASTING)
def test_results_wait_while_a_fault_lasts_and_arrive_once_when_it_is_over(
    here: Here, name: str, told: Callable[[Outcome], None]
) -> None:
    case, port = LASTING[name], DESTINATIONS[name].port
    with case.start(port) as erring:
        study_id = here.send(name)
        here.await_told(study_id, case.words)
        other = here.await_beside(study_id)
    with faulty_pacs(Fault(), port) as well:
        here.await_quiet(study_id, other)
    took = [(erring, case.errs if isinstance(case.errs, Fault) else Fault())] if erring else []
    found = here.account([study_id, other], (well, Fault()), *took)
    told(
        found.outcome(
            fault=case.fault,
            where=case.where,
            others=NOT_HELD_UP,
            note=f"the case waits (`{case.code}`): *… {case.words}*",
        )
    )


def test_cases_for_a_host_that_drops_packets_hold_up_no_other(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    port = DESTINATIONS["drops"].port
    with full_port(port):
        studies = [here.send("drops") for _ in range(6)]
        here.await_told(studies[0], "Nothing answers at")
        others = [here.await_beside(studies[-1]) for _ in range(2)]
    with faulty_pacs(Fault(), port) as well:
        here.await_quiet(*studies, *others)
    found = here.account([*studies, *others], (well, Fault()))
    told(
        found.outcome(
            fault="Packets to the host are dropped, and six studies are for it",
            where=CONNECTS,
            others=NOT_HELD_UP,
            note="one case at a time tries; the others wait (`destination-busy`)",
        )
    )


def test_cases_for_a_pacs_that_does_not_answer_for_minutes_hold_up_no_other(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    answers = threading.Event()
    fault = Fault(answer_after=answers)
    with faulty_pacs(fault, DESTINATIONS["hangs"].port) as hanging:
        studies = [here.send("hangs") for _ in range(6)]
        here.await_told(studies[-1], "Another case is at hangs")
        others = [here.await_beside(studies[-1]) for _ in range(2)]
        answers.set()
        here.await_quiet(*studies, *others)
    found = here.account([*studies, *others], (hanging, fault))
    told(
        found.outcome(
            fault="It takes minutes for an answer, and six studies are for it",
            where=SENDS,
            others=NOT_HELD_UP,
            note="one case at a time is there; the others wait (`destination-busy`)",
        )
    )


def test_a_pacs_that_reads_slowly_gets_its_objects(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    with behind(Wire(bytes_per_s=8000), DESTINATIONS["slow-reader"].port) as slow:
        study_id = here.send("slow-reader")
        other = here.send(STEADY)
        here.await_quiet(study_id, other)
    found = here.account([study_id, other], (slow, Fault()))
    told(
        found.outcome(
            fault="It reads 8 kB a second",
            where=SENDS,
            others=NOT_HELD_UP,
        )
    )


def test_an_object_that_is_stored_with_a_warning_is_stored(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    fault = Fault(statuses=(0xB000,))
    with faulty_pacs(fault, DESTINATIONS["warns"].port) as warning:
        study_id, other = here.send("warns"), here.send(STEADY)
        here.await_quiet(study_id, other)
    receipts = here.site.ledger.deliveries.receipts(here.site.cases(study_id)[-1].case_id)
    assert {one.status for one in receipts} == {"0xB000"}
    found = here.account([study_id, other], (warning, fault))
    told(
        found.outcome(
            fault="It answers 0xB000, coercion of data elements",
            where=SENDS,
            others=NOT_HELD_UP,
            note="the receipt says so",
        )
    )


def test_a_pacs_that_aborts_after_each_answer_gets_one_object_after_the_other(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    fault = Fault(abort_after_answer=True)
    with faulty_pacs(fault, DESTINATIONS["aborts-each"].port) as aborting:
        study_id = here.send("aborts-each")
        other = here.send(STEADY)
        here.await_told(study_id, f"took 1 of 3 objects ({ENDED})")
        here.await_quiet(study_id, other)
    found = here.account([study_id, other], (aborting, fault))
    told(
        found.outcome(
            fault="It aborts after each answer",
            where="between two objects",
            others=NOT_HELD_UP,
            note="the case waits (`destination-rejected`) and sends the rest",
        )
    )


def test_what_a_pacs_accepted_and_lost_is_found_out_and_sent_again(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    fault = Fault(loses=frozenset({0, 2}))
    with faulty_pacs(fault, DESTINATIONS["loses"].port) as losing:
        study_id, other = here.send("loses"), here.send(STEADY)
        here.await_quiet(study_id, other)
    assert here.site.cases(study_id)[-1].attempt >= 1
    found = here.account([study_id, other], (losing, fault))
    told(
        found.outcome(
            fault="It answers success, and does not hold the object",
            where="asked by C-FIND",
            others=NOT_HELD_UP,
            note="the case waits (`result-not-held`) and sends what is not there again",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a PACS reports on storage commitment."""

    fault: str
    note: str
    errs: Fault


REPORTED = {
    "commits-twice": Report(
        fault="It reports on a storage commitment twice",
        note="the second is answered and let go",
        errs=Fault(commitment=Commitment(report_port=REPORTS, reports=2)),
    ),
    "commits-stray": Report(
        fault="It reports on a storage commitment that nobody asked for, then on ours",
        note="the first is answered and let go",
        errs=Fault(commitment=Commitment(report_port=REPORTS, strays=True)),
    ),
    "commits-not": Report(
        fault="It reports that it does not hold two of the objects",
        note="the case waits (`result-not-held`), and they are sent again",
        errs=Fault(loses=frozenset({0, 2}), commitment=Commitment(report_port=REPORTS)),
    ),
}


@pytest.mark.parametrize("name", REPORTED)
def test_a_report_on_a_storage_commitment_counts_for_what_it_is(
    here: Here, name: str, told: Callable[[Outcome], None]
) -> None:
    report = REPORTED[name]
    with faulty_pacs(report.errs, DESTINATIONS[name].port) as pacs:
        study_id, other = here.send(name), here.send(STEADY)
        here.await_quiet(study_id, other)
    receipts = here.site.ledger.deliveries.receipts(here.site.cases(study_id)[-1].case_id)
    assert {one.status for one in receipts} == {"commitment: committed"}
    found = here.account([study_id, other], (pacs, report.errs))
    told(
        found.outcome(
            fault=report.fault,
            where="at the storage commitment",
            others=NOT_HELD_UP,
            note=report.note,
        )
    )


@pytest.mark.parametrize("name", ["commits-late", "commits-never"])
def test_a_case_waits_for_a_report_that_does_not_come_and_others_do_not(
    here: Here, name: str, told: Callable[[Outcome], None]
) -> None:
    time, port = threading.Event(), DESTINATIONS[name].port
    is_late = name == "commits-late"
    never = Commitment(report_port=REPORTS, reports=0)
    late = Commitment(report_port=REPORTS, after=time)
    fault = Fault(commitment=late if is_late else never)
    with faulty_pacs(fault, port) as erring:
        study_id = here.send(name)
        here.await_told(study_id, "has not reported on its storage commitment yet")
        other = here.await_beside(study_id)
        if is_late:
            time.set()
            here.await_quiet(study_id)
    # That it reports again is not that it lost what it holds.
    well = Fault(commitment=Commitment(report_port=REPORTS, holds_all=True))
    with faulty_pacs(well, port):
        here.await_quiet(study_id, other)
    case = here.site.cases(study_id)[-1]
    assert case.state is CaseState.DELIVERED
    found = here.account([study_id, other], (erring, fault))
    told(
        found.outcome(
            fault=f"It reports on a storage commitment {'late' if is_late else 'never'}",
            where="at the storage commitment",
            others=NOT_HELD_UP,
            note="the case waits (`commitment-pending`)"
            + ("; a late report counts" if is_late else ", and asks again until one comes"),
        )
    )
