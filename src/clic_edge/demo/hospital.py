"""The demo's hospital, from outside: its PACS, and what the appliance tells about a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from pydantic import BaseModel, Field

from clic_edge.demo.site import USER
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError
from clic_edge.pipeline.routing import OWN_RESULT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clic_edge.demo.site import Site

_RESULTS = ("SEG", "SR")
_TIMEOUT_SECONDS = 60


class CaseFacts(BaseModel):
    """A case as the plugin shows it."""

    case_id: str
    pipeline: str
    state: CaseState
    code: str
    reason: str


class ShownCase(BaseModel):
    """A case and the stages behind it."""

    case: CaseFacts
    stages: list[tuple[str, float]]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by finished stage."""
        return dict(self.stages)


class ShownSeries(BaseModel):
    """What a pipeline does with a series."""

    series_number: int | None
    number_of_instances: int
    pipeline: str
    taken: bool
    reason: str

    @property
    def is_ours(self) -> bool:
        """Whether this is a result that the appliance wrote."""
        return self.reason == OWN_RESULT


class Answer(BaseModel):
    """What `GET /clic-edge/studies/…` answers."""

    cases: list[ShownCase]
    series: list[ShownSeries]

    @property
    def current(self) -> list[ShownCase]:
        """The cases that no other has superseded."""
        return [shown for shown in self.cases if shown.case.state != CaseState.SUPERSEDED]

    @property
    def ended(self) -> bool:
        """Whether there is a case, and all have ended."""
        return bool(self.current) and all(shown.case.state.is_end for shown in self.current)


class _Stored(BaseModel):
    study: str = Field(alias="ParentStudy")


class _Series(BaseModel):
    modality: str
    instances: list[str]

    @classmethod
    def parse(cls, answer: object) -> list[_Series]:
        """Return the series of a study as Orthanc describes them."""
        return [
            cls(modality=one["MainDicomTags"].get("Modality", ""), instances=one["Instances"])
            for one in answer  # type: ignore[attr-defined]  # Orthanc's JSON
        ]


class Hospital:
    """The PACS and the reader's questions, over HTTP."""

    def __init__(self, site: Site) -> None:
        timeout = httpx.Timeout(_TIMEOUT_SECONDS)
        headers = {"Accept-Encoding": "identity"}
        self._pacs = httpx.Client(
            base_url=site.pacs.url, headers=headers, timeout=timeout, trust_env=False
        )
        self._appliance = httpx.Client(
            base_url=site.appliance.url,
            auth=(USER, site.appliance.password),
            headers=headers,
            timeout=timeout,
            trust_env=False,
        )

    def take(self, files: Iterable[Path]) -> str:
        """Store the files in the PACS, as if a scanner had sent them; return Orthanc's study id.

        Raises
        ------
        ConfigError
            ``not-dicom`` names a file that the PACS does not take, ``several-studies`` says so.

        """
        studies = set()
        for path in files:
            answer = self._pacs.post("/instances", content=path.read_bytes())
            if not answer.is_success:
                raise ConfigError("not-dicom", f"The PACS does not take {path} as DICOM.")
            studies.add(_Stored.model_validate_json(answer.content).study)
        if len(studies) != 1:
            raise ConfigError(
                "several-studies", f"The folder holds {len(studies)} studies; name a folder of one."
            )
        return studies.pop()

    def send(self, study_id: str) -> None:
        """Let the PACS send the study to the appliance by C-STORE."""
        job = {"Resources": [study_id], "Synchronous": True}
        self._pacs.post("/modalities/appliance/store", json=job).raise_for_status()

    def ask(self, study_id: str) -> Answer:
        """Ask the appliance what became of the study, as the button in Orthanc Explorer does."""
        answer = self._appliance.get(f"/clic-edge/studies/{study_id}")
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # the worker is still starting
            return Answer(cases=[], series=[])
        return Answer.model_validate_json(answer.raise_for_status().content)

    def fetch_results(self, study_id: str, folder: Path) -> tuple[Path, ...]:
        """Write the SEG and SR that are now in the PACS into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        fetched = []
        for series in _Series.parse(self._pacs.get(f"/studies/{study_id}/series").json()):
            for instance in series.instances if series.modality in _RESULTS else ():
                path = folder / f"{series.modality.lower()}-{instance[:8]}.dcm"
                path.write_bytes(self._pacs.get(f"/instances/{instance}/file").content)
                fetched.append(path)
        return tuple(sorted(fetched))
