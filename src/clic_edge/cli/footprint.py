"""`clic-edge models measure`: what a package takes of memory and time on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import note, table
from clic_edge.cli.context import context_of
from clic_edge.config import load_settings
from clic_edge.inference.footprint import footprints, measure_package, write_note
from clic_edge.inference.memory import host_total
from clic_edge.inference.package import load_package
from clic_edge.inference.signing import verify_signature
from clic_edge.pipeline.granting import granted

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.inference.footprint import Sample
    from clic_edge.inference.site import Site


def measure(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As `list` shows it.", metavar="MODEL")],
) -> None:
    """Measure a package's memory and time here, as `install` does: after a new device or driver."""
    settings = load_settings(context_of(context).settings_path)
    folder = settings.appliance.models / name
    signed = not settings.appliance.unsigned_models
    if signed:
        verify_signature(folder, settings.appliance.model_keys)
    keep_measured(folder, granted(settings.runtimes, trusted=signed))


def keep_measured(folder: Path, site: Site) -> None:
    """Measure a package, keep it beside its files, and print it. Raises as `measure_package`."""
    package = load_package(folder)
    samples = measure_package(folder, site)
    write_note(folder, package.digest, samples)
    if not samples:
        note("Its memory was not measured: it takes no made-up images, or is run elsewhere.")
        return
    table(
        f"{package.declaration.id} on this machine, with {host_total() / 1e9:.1f} GB",
        ("device", "windows at a time", "voxels", "memory (MB)", "seconds"),
        (_row(one) for one in samples),
    )
    for one in footprints(samples):
        note(
            f"On {one.device}, {one.batch or 'all'} at a time: "
            f"{one.needed(1_000_000) / 1e6:.0f} MB and {one.seconds(1_000_000):.1f} s for a "
            "million voxels."
        )


def _row(sample: Sample) -> tuple[str, str, str, str, str]:
    return (
        sample.device,
        str(sample.batch or "-"),
        f"{sample.voxels:,}",
        f"{sample.peak_bytes / 1e6:.1f}",
        f"{sample.seconds:.2f}",
    )
