"""`clic-edge retrain`: a package learns more, from what readers said of its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from clic_edge.cli.console import note, stderr, table
from clic_edge.cli.context import appliance_of
from clic_edge.cli.deid import order_of as cleaning_order
from clic_edge.cli.options import with_options
from clic_edge.cli.predictions import since_moment
from clic_edge.cli.train import Options, order_of, run
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import require_ledger
from clic_edge.training.extra import require_extra

if TYPE_CHECKING:
    from clic_edge.training.cohort import TrainingCohort


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainOptions(Options):
    """The options of `retrain`."""

    context: typer.Context
    cohort: Annotated[Path, typer.Option(help="Folder of the cohort: made, or made before.")]
    from_ledger: Annotated[
        bool,
        typer.Option("--from-ledger", help="Make the cohort, or add to it what is new."),
    ] = False
    since: Annotated[
        str, typer.Option(help="With --from-ledger: a day, or how long ago (7d, 4w).")
    ] = "52w"
    cohort_only: Annotated[
        bool, typer.Option("--cohort-only", help="Stop when the cohort is there.")
    ] = False
    data: Annotated[
        Path | None, typer.Option(help="The original data: some of it comes again.")
    ] = None
    checkpoint: Annotated[
        Path | None, typer.Option(help="Of the parent's run; default its ONNX weights.")
    ] = None


@with_options(RetrainOptions)
def retrain(options: RetrainOptions) -> None:
    """Let a package learn more from cases that readers accepted or corrected.

    Off until the site's settings say `[retraining] allowed = true`. Images leave de-identified
    and certified, as by `export`. What comes out is compared with the parent on the same held-out
    cases, and refused where it is worse.

    Example: `clic-edge retrain models/hippocampus --from-ledger --cohort COHORT --data DIR`
    """
    if not options.cohort_only:
        require_extra()
    if options.from_ledger:
        _tell(_gathered(options))
    elif options.cohort_only:
        raise ConfigError("nothing-to-gather", "--cohort-only needs --from-ledger.")
    if options.cohort_only:
        return
    from clic_edge.training.retraining import (  # noqa: PLC0415 - loads torch
        Candidacy,
        plan_retraining,
    )

    plan = plan_retraining(
        order_of(options, options.cohort), original=options.data, checkpoint=options.checkpoint
    )
    if not plan.replayed:
        note("Without --data nothing of the original comes again: watch what it forgets.")
    margin = plan.recipe.retraining.margin
    run(plan, options, Candidacy(parent=plan.parent, margin=margin))


def _gathered(options: RetrainOptions) -> TrainingCohort:
    """Return the cohort of what readers said, written to its folder."""
    from clic_edge.assembly import build_line  # noqa: PLC0415 - for a fast --help
    from clic_edge.inference.package import load_package  # noqa: PLC0415 - as above
    from clic_edge.retraining.gathering import (  # noqa: PLC0415 - as above
        CLEAN,
        Gathering,
        gather,
        require_allowed,
    )

    appliance = appliance_of(options.context)
    settings = appliance.settings
    require_allowed(settings.retraining)
    require_ledger(appliance.engine)
    line = build_line(
        settings, appliance.pipelines, archive=appliance.archive(), ledger=appliance.ledger
    )
    gathering = Gathering(
        line=line,
        images=appliance.cohort(),
        policy=settings.retraining,
        declared=load_package(options.package).declaration,
        out=options.cohort,
        order=cleaning_order(
            settings, settings.retraining.deid_profile, out=options.cohort / CLEAN, workers=1
        ),
    )
    with Progress(console=stderr, transient=True) as progress:
        bar = progress.add_task("files", total=None)
        since = since_moment(options.since)
        return gather(gathering, since, lambda done: progress.advance(bar, done))


def _tell(cohort: TrainingCohort) -> None:
    rows = [(f"taken: {truth}", str(count)) for truth, count in cohort.taken]
    rows += [(f"left out: {reason}", str(count)) for reason, count in cohort.left_out.items()]
    table(f"{len(cohort.cases)} cases that can teach", ("results", ""), rows)
