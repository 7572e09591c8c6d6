"""A site whose PACS err on purpose: each has a destination, and a pipeline named after it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bad_wires import Wire, bad_wire
from factories import Stack, make_datasets
from faults.bench import Account, account
from faults.boxes import HELD_AT
from faulty_pacs import Fault, FaultyPacs, faulty_pacs
from model_packages import known_labels, volume_of, write_package
from servers import wait_for
from sites import CASE_SECONDS, ROOT, Site, SiteOptions, patient, pipeline_toml, running_site

from clic_edge.domain.case import CaseState
from clic_edge.pacs.transport import STORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pydicom.dataset import Dataset

STEADY = "steady"
"""The pipeline whose PACS is well."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A destination that errs, at a port of its own."""

    port: int
    toml: str = ""
    """More of its settings."""
    profile: str = ""
    """TOML of its profile."""
    web: bool = False
    """It speaks DICOMweb."""
    timeout_s: float = 60.0
    """More than an answer takes on a busy machine; less where the fault is that none comes."""


@dataclass(frozen=True, kw_only=True)
class Here:
    """The site, and who numbers its studies."""

    site: Site
    folder: Path
    numbers: Iterator[int]

    def study(self, pipeline: str) -> list[Dataset]:
        """Return a new small study that one pipeline takes."""
        return light_study(next(self.numbers), pipeline)

    def send(self, pipeline: str) -> str:
        """Send such a study; return Orthanc's handle of it."""
        return self.site.send(self.study(pipeline))

    def await_told(self, study_id: str, words: str) -> None:
        """Return when the study's case has waited for a reason with these words, and since then."""
        audit = self.site.ledger.records.audit

        def told() -> bool:
            return any(
                event.action == "waiting" and words in event.detail
                for case in self.site.cases(study_id)
                for event in audit(case.case_id)
            )

        wait_for(told, f"the case waits, and says: {words}", CASE_SECONDS)

    def await_beside(self, study_id: str) -> str:
        """Send a study to the PACS that is well; return it when delivered, the other not yet."""
        other = self.send(STEADY)
        self.site.await_case(other, CaseState.DELIVERED)
        assert not any(case.state is CaseState.DELIVERED for case in self.site.cases(study_id))
        return other

    def await_quiet(self, *studies: str, state: CaseState = CaseState.DELIVERED) -> None:
        """Wait until each study has a case in the state, and none that has not ended."""
        for study_id in studies:
            self.site.await_case(study_id, state)
            wait_for(
                lambda of=study_id: all(case.state.is_end for case in self.site.cases(of)),
                "every case of the study ends",
                CASE_SECONDS,
            )

    def account(self, studies: Iterable[str], *took: tuple[FaultyPacs, Fault]) -> Account:
        """Return what became of studies; each PACS of `took` may hold some of their objects."""
        kept = [uid for pacs, fault in took for uid in taken(pacs, fault)]
        found = account(self.site, studies, elsewhere=frozenset(kept))
        return replace(found, doubled=found.doubled + len(kept) - len(set(kept)))


def light_study(number: int, pipeline: str) -> list[Dataset]:
    """Return study `number`, of which the light model finds something in no time."""
    stack = Stack(patient=patient(number), description=pipeline)
    return make_datasets(stack, volume_of(known_labels()).voxels)


def taken(pacs: FaultyPacs, fault: Fault) -> list[str]:
    """Return the SOP Instance UIDs of what a PACS accepted and holds, as often as it took them."""
    return [
        str(ds.SOPInstanceUID)
        for index, ds in enumerate(pacs.received)
        if fault.statuses[min(index, len(fault.statuses) - 1)] in STORED
        and index not in fault.loses
    ]


@contextmanager
def site_with(
    folder: Path,
    destinations: Mapping[str, Destination],
    pipelines: Mapping[str, str] | None = None,
) -> Iterator[Here]:
    """Run a site with a light model, its worker, and a pipeline for each destination."""
    write_package(folder / "models" / "hippocampus")
    named = {name: f'["{name}"]' for name in destinations} | {STEADY: '["pacs"]'}
    made = {
        name: pipeline_toml(name, description=f'"^{name}$"', destinations=of)
        for name, of in named.items()
    }
    options = SiteOptions(
        pipelines=made | dict(pipelines or {}),
        destinations="".join(_toml(folder, name, one) for name, one in destinations.items()),
        models=folder / "models",
        unsigned=True,
        orthanc={"DicomThreadsCount": _threads()},
    )
    (folder / "holds").mkdir()
    with running_site(folder / "site", options) as site:
        script = (str(HELD_AT), str(site.settings), str(folder / "holds"))
        with site.worker(script=script):
            yield Here(site=site, folder=folder, numbers=iter(range(1, 10_000)))


def _threads() -> int:
    """Return how many senders the appliance's Orthanc hears at a time, as it is shipped."""
    shipped = (ROOT / "appliance" / "orthanc.json").read_text()
    return int(shipped.partition('"DicomThreadsCount" : ')[2].partition(",")[0])


def _toml(folder: Path, name: str, destination: Destination) -> str:
    profile = folder / f"{name}.toml"
    profile.write_text(destination.profile)
    scheme = "https" if "https" in name else "http"
    there = (
        f'kind = "dicomweb"\nurl = "{scheme}://127.0.0.1:{destination.port}/dicom-web"'
        if destination.web
        else f'kind = "dimse"\nhost = "127.0.0.1"\nport = {destination.port}\n'
        'called_ae_title = "FAULTY"'
    )
    return f"""
[destinations.{name}]
{there}
timeout_s = {destination.timeout_s}
profile = "{profile}"
{destination.toml}
"""


@contextmanager
def behind(wire: Wire, port: int) -> Iterator[FaultyPacs]:
    """Run a PACS that is well behind a bad wire."""
    with faulty_pacs(Fault()) as pacs, bad_wire(wire, pacs.port, port):
        yield pacs
