"""What the stages of one appliance stand on: archive, ledger, key, and pipelines made ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clic_edge.deid.page_key import PageKey
from clic_edge.domain.constancy import clinical_name, is_constancy
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect, Transient
from clic_edge.pipeline.invitation import invitation
from clic_edge.pipeline.phantoms import ready_for_constancy
from clic_edge.pipeline.precedence import Precedence
from clic_edge.pipeline.standing import cast
from clic_edge.pipeline.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from clic_edge.config import Pipeline
    from clic_edge.deid.keys import DeidKey
    from clic_edge.deid.profile import Profile
    from clic_edge.dicom.policy import VolumePolicy
    from clic_edge.domain.case import Case
    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.inference.runtime import Runtime
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive, Destination, StudyCensus, Witness
    from clic_edge.pipeline.standing import Candidate, Silence
    from clic_edge.results.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyDestination:
    """A destination with its transport, and what it gets."""

    name: str
    transport: Destination
    takes: frozenset[ResultKind]
    witness: Witness | None = None
    """Who is asked whether the destination holds what it accepted; None where nobody can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyPipeline:
    """A pipeline with everything that its settings name."""

    settings: Pipeline
    profile: Profile
    volume_policy: VolumePolicy
    runtime: Callable[[], Runtime]
    """Loads the model at the first call and returns the same runtime ever after."""
    writers: tuple[Writer, ...]
    challengers: tuple[Callable[[], Runtime], ...] = ()
    """What runs in the shadow of the model, on the same volumes."""
    candidates: tuple[Candidate, ...] = ()
    """The models that the file names, `model` first; their states say who speaks. Without any,
    `runtime` speaks and nobody asks."""
    file_decides: bool = True
    """Whether a model is active because the file names it, or only by a person's promotion."""
    speaker: ModelIdentity | None = None
    """Whose results may leave; None where nobody's may, or nobody asks."""
    silence: Silence | None = None
    """Why no model speaks now; what runs in the shadow still runs."""
    destinations: tuple[ReadyDestination, ...]
    """In the order of the settings."""
    census: StudyCensus | None = None
    """Who knows how many instances a study should have."""

    @property
    def model(self) -> ModelIdentity:
        """Of whom results tell: who speaks, or was stopped.

        Raises what loading it would, or why nobody speaks.
        """
        if self.silence and self.silence.stopped:
            return self.silence.stopped
        return self.runtime().model

    @property
    def takes(self) -> frozenset[ResultKind]:
        """What any of the destinations gets."""
        return frozenset[ResultKind]().union(*(one.takes for one in self.destinations))

    @property
    def tells_refusals(self) -> bool:
        """Whether a reader finds in the PACS why nothing was analysed."""
        return self.settings.refusals == "deliver" and ResultKind.SUMMARY in self.takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a case that may work later is tried."""

    first: timedelta
    longest: timedelta
    give_up_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One appliance: made once by `app`, used by every stage of every case."""

    archive: Archive
    ledger: Ledger
    key: DeidKey = field(repr=False)
    pipelines: tuple[ReadyPipeline, ...]
    patience: Patience
    precedence: Precedence = field(default_factory=Precedence, repr=False)
    """Of the cases that this process runs."""
    language: str = "en"
    """Of what a reader reads in the results."""
    phantoms: Destination | None = None
    """Where everything goes that is made of a constancy study; None where there are none."""
    turns: Turns = field(default_factory=Turns, repr=False)
    """So that a destination that hangs does not take every place of the worker."""
    pages_url: str = ""
    """By what a reader's browser reaches the appliance's pages; empty where it can't."""

    def pipeline(self, name: str) -> ReadyPipeline:
        """Return a pipeline by name, as the states of its models cast it now.

        Raises Defect ``pipeline-gone``; of one of constancy as `ready_for_constancy`.
        """
        clinical = clinical_name(name)[0] if is_constancy(name) else name
        for pipeline in self.pipelines:
            if pipeline.settings.name == clinical:
                if is_constancy(name):
                    return ready_for_constancy(pipeline, name, self.phantoms)
                return cast(pipeline, self.ledger.standing)
        raise Defect(
            "pipeline-gone", f"The pipeline {name} is not configured any more; retry or leave it."
        )

    def require_held(self, case: Case) -> None:
        """Return where this attempt is still the case's own: asked before anything leaves.

        Raises
        ------
        Transient
            ``case-elsewhere``: this worker was silent for so long that another took the case.

        """
        if not self.ledger.cases.is_current(case):
            raise Transient(
                "case-elsewhere", "Another worker has taken the case over; this one sends nothing."
            )

    def link(self, case_id: str) -> str:
        """Return where a reader assesses a case; empty where no page can be reached."""
        return (
            self.pages_url
            and f"{self.pages_url}/assess/{invitation(PageKey.of(self.key), case_id)}"
        )

    @property
    def rules(self) -> tuple[Pipeline, ...]:
        """The settings of every pipeline: what routing needs."""
        return tuple(pipeline.settings for pipeline in self.pipelines)
