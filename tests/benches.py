"""A site without servers: two models of one pipeline, studies in a folder, results in another."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from factories import Stack, make_datasets
from ledgers import make_tables
from model_packages import LEVELS, TOML, known_labels, write_package
from pydicom import dcmread
from sites import ROOT, patient, texts_of

from clic_edge.app import Appliance
from clic_edge.assembly import build_line
from clic_edge.deid.keys import create_key
from clic_edge.ledger import Ledger
from clic_edge.pacs.folder import FolderArchive
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.process import directly, process

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.domain.case import Case
    from clic_edge.domain.standing import ModelState, Placement
    from clic_edge.pipeline.line import Line

PERSON = "A. Jensen"
PIPELINE = """\
name = "brain"
title = "Brain"
model = "{model}"
challengers = [{challengers}]
deid_profile = "basic"
writers = ["sr"]
destinations = ["pacs"]
rule = {{ modality = ["MR"] }}
completeness = {{ quiet_seconds = 0 }}
[acceptance]
at_least = {{ "classes.grey.dice.mean" = 0.9 }}
shadow_cases = 2
agreement = 0.8
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The folder of a site."""

    folder: Path

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.folder / "clic-edge.toml"

    @property
    def appliance(self) -> Appliance:
        """The appliance as its files are now."""
        return Appliance.open(self.settings)

    @property
    def ledger(self) -> Ledger:
        """The site's ledger; nothing takes what it queues."""
        return _ledger(self.settings)

    def name_models(self, model: str, *challengers: str) -> None:
        """Write the pipeline's file."""
        named = ", ".join(f'"{one}"' for one in challengers)
        path = self.folder / "pipelines" / "brain.toml"
        path.write_text(PIPELINE.format(model=model, challengers=named))

    def line(self) -> Line:
        """Return a line as a worker makes one at its start."""
        appliance = self.appliance
        return build_line(
            appliance.settings,
            appliance.pipelines,
            archive=FolderArchive(self.folder / "studies"),
            ledger=self.ledger,
        )

    def add_study(self, number: int) -> None:
        """Write a study in which both networks see what is known."""
        folder = self.folder / "studies" / str(number)
        folder.mkdir(parents=True)
        voxels = np.array(LEVELS, np.int16)[known_labels()]
        for index, one in enumerate(make_datasets(Stack(patient=patient(number)), voxels)):
            one.save_as(folder / f"{index}.dcm", enforce_file_format=True)

    def admit(self, number: int) -> Case:
        """Add a study, unless it is there, and admit its case."""
        folder = self.folder / "studies" / str(number)
        if not folder.exists():
            self.add_study(number)
        archive = FolderArchive(folder)
        (study_id,) = archive.study_ids
        (case,) = intake(study_id, self.line().rules, archive=archive, ledger=self.ledger)
        return case

    def run(self, number: int) -> Case:
        """Add a study and run its case as far as it goes."""
        return self.go_on(self.admit(number))

    def go_on(self, case: Case, line: Line | None = None) -> Case:
        """Run a case's next attempt."""
        line = line or self.line()
        process(case.case_id, case.attempt, line=line, step=directly)
        return line.ledger.cases.case(case.case_id)

    def placement(self, model: str) -> Placement:
        """Return the place of a model that the history knows."""
        events = self.ledger.standing.standing("brain").values()
        (found,) = [one.placement for one in events if one.placement.model_id == model]
        return found

    def states(self) -> dict[str, ModelState]:
        """Return the state of each model, by its id."""
        events = self.ledger.standing.standing("brain").values()
        return {one.placement.model_id: one.now for one in events}

    def delivered(self) -> list[str]:
        """Return the sentences of every object in the PACS, object by object."""
        files = sorted((self.folder / "pacs").rglob("*.dcm"))
        return ["\n".join(texts_of(dcmread(io.BytesIO(one.read_bytes())))) for one in files]


@cache
def _ledger(settings: Path) -> Ledger:
    return Ledger.on(Appliance.open(settings).engine)


def make_bench(folder: Path, *, states: str = "configured") -> Bench:
    """Return a site with study 1, whose pipeline has the model `first`, challenged by `second`."""
    for name, slope in (("first", 30), ("second", 29)):
        toml = TOML.replace('id = "brightness"', f'id = "{name}"')
        write_package(folder / "models" / name, toml=toml, slopes=(0, 10, slope))
    (folder / "pipelines").mkdir()
    (folder / "state").mkdir()
    create_key(folder / "state" / "deid.key")
    bench = Bench(folder=folder)
    bench.name_models("first", "second")
    bench.settings.write_text(
        '[appliance]\nstate_dir = "state"\npipelines = "pipelines"\nmodels = "models"\n'
        f'unsigned_models = true\nmodel_states = "{states}"\n'
        f'deid_profiles = "{ROOT}/configs/deid"\n'
        "[worker]\nfirst_retry_seconds = 0.1\nlongest_retry_seconds = 0.1\n"
        '[destinations.pacs]\nkind = "folder"\npath = "pacs"\n'
    )
    make_tables(bench.appliance.engine)
    bench.add_study(1)
    return bench
