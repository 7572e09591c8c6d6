"""`clic-edge train`: a package's network learned anew, in a package of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clic_edge.cli.console import note, stderr, stdout, table
from clic_edge.cli.options import with_options
from clic_edge.training.extra import require_extra

if TYPE_CHECKING:
    from clic_edge.training.learning import Epoch
    from clic_edge.training.planning import Order, Plan
    from clic_edge.training.train import Accept, Trained

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every command that trains takes."""

    package: Annotated[
        Path, typer.Argument(help="Folder of the package, with training.toml.", metavar="PACKAGE")
    ]
    out: Annotated[
        Path | None,
        typer.Option(help="Where runs/ and the new package go; default beside PACKAGE."),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run where it was cut off.")
    ] = False
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None
    seed: Annotated[int | None, typer.Option(min=0, help="In place of the recipe's.")] = None
    device: Annotated[Device, typer.Option(help="What computes.")] = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions(Options):
    """The options of `train`."""

    data: Annotated[
        Path, typer.Option(help="Folder with labelled volumes, laid out as for `validate`.")
    ]


@with_options(TrainOptions)
def train(options: TrainOptions) -> None:
    """Train a package's network anew on labelled volumes, by its training.toml.

    The run keeps settings, metrics, curves and checkpoint as plain files. What comes out is a
    new package beside the old one, measured on held-out cases and signed by nobody.

    Example: `clic-edge train models/hippocampus --data DIR --out OUT`
    """
    require_extra()
    from clic_edge.training.planning import plan_training  # noqa: PLC0415 - loads torch

    run(plan_training(order_of(options, options.data)), options)


def order_of(options: Options, data: Path) -> Order:
    """Return what was asked for, as training knows it."""
    from clic_edge.training.planning import Order  # noqa: PLC0415 - loads torch

    return Order(
        package=options.package,
        data=data,
        out=options.out or options.package.resolve().parent,
        device=options.device,
        epochs=options.epochs,
        seed=options.seed,
    )


def run(plan: Plan, options: Options, accept: Accept | None = None) -> None:
    """Train by a plan, and show how far it is and what came of it."""
    from clic_edge.training.train import train as trained  # noqa: PLC0415 - loads torch

    note(f"{plan.run.folder}: {plan.parts.told()}")
    with Shown() as shown:
        done = trained(plan, shown, resume=options.resume, accept=accept)
    _tell(done)


class Shown:
    """A bar with the time that is left, and a line for each epoch with a look at it."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, left"),
            TimeRemainingColumn(),
            console=stderr,
            transient=True,
        )
        self._task = self._bar.add_task("begins", total=None)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def begins(self, epochs: int, done: int) -> None:
        """Show how far it is already."""
        self._bar.reset(self._task, total=epochs, completed=done, description="learns")

    def batch(self, epoch: int, batch: int, batches: int, /) -> None:
        """Show a batch."""
        self._bar.update(self._task, completed=epoch - 1 + batch / batches)

    def epoch(self, row: Epoch) -> None:
        """Show the numbers of an epoch; a line stays of one at which the cases were looked at."""
        told = f"loss {row.loss:.3f}"
        self._bar.update(self._task, completed=row.epoch, description=told)
        if row.mean_dice is not None:
            note(f"epoch {row.epoch}: {told}, Dice on the stopping cases {row.mean_dice:.3f}")

    def says(self, sentence: str) -> None:
        """Write a sentence above the bar."""
        note(sentence)


def _tell(done: Trained) -> None:
    """Show what came of a run, and what is left to a person."""
    if done.report:
        rows = []
        for name in done.report.class_names:
            found = done.report.summary(name, "dice")
            sure = found.low is not None and found.high is not None
            interval = f"{found.low:.3f} to {found.high:.3f}" if sure else ""
            rows.append((name, "-" if found.mean is None else f"{found.mean:.3f}", interval))
        title = f"{len(done.report.cases)} held-out cases"
        table(title, ("segment", "Dice", "95 % interval"), rows)
    else:
        note("No case was held out, so nobody knows how good it is.")
    stdout.print(f"package: {done.package}", soft_wrap=True)
    note(f"Look at {done.run / 'curves.svg'}, read its README.md, then sign it:")
    note(f"clic-edge models sign {done.package} --key KEY")
