"""`clic-edge pacs`: which PACS there are, and what each takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.text import Text

from clic_edge.cli.console import note, stderr, stdout, table, whole
from clic_edge.cli.context import context_of
from clic_edge.cli.pacs_profile import Findings, suggest, to_toml
from clic_edge.config import (
    DicomwebDestination,
    DimseDestination,
    destination_profile,
    load_settings,
)
from clic_edge.config.toml import nearest
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from clic_edge.config import Destination, DestinationProfile
    from clic_edge.pacs.probe import CommitmentFinding, Offer
    from clic_edge.pacs.probe_web import Service

app = typer.Typer(help="Each PACS that results go to: what it takes.", no_args_is_help=True)


@app.command("list")
def list_pacs(context: typer.Context) -> None:
    """List the destinations: where each is, what it gets, and how it proves that it holds it."""
    settings = load_settings(context_of(context).settings_path)
    rows = []
    for name, destination in settings.destinations.items():
        profile = destination_profile(settings, name)
        rows.append(
            (
                name,
                destination.kind,
                _where(destination),
                Path(destination.profile).stem if destination.profile else "",
                ", ".join(profile.results),
                _proof(profile),
            )
        )
    table(
        f"destinations: {len(rows)}",
        (whole("name"), "kind", "where", "profile", "results", "proof"),
        rows,
    )


@app.command()
def probe(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As in `[destinations.NAME]`.", metavar="NAME")],
    *,
    write: Annotated[
        Path | None, typer.Option(help="Write a profile for what was found to this new file.")
    ] = None,
    commitment: Annotated[
        bool,
        typer.Option(
            "--commitment",
            help="Ask for a storage commitment of an object that does not exist, to see the report.",
        ),
    ] = False,
    report_port: Annotated[
        int | None,
        typer.Option(
            help="Wait for that report on this port too; the worker must not hold it.",
            min=1,
            max=65535,
        ),
    ] = None,
) -> None:
    """Find out what a PACS takes. No object is sent.

    Example: `clic-edge pacs probe pacs --commitment --write configs/destinations/ours.toml`
    """
    if write is not None and write.exists():
        raise ConfigError("profile-exists", f"{write} is there already; name a new file.")
    destination = _destination(context, name)
    if isinstance(destination, DimseDestination):
        asked = commitment or report_port is not None
        findings = _probe_dimse(destination, commitment=asked, report_port=report_port)
    elif isinstance(destination, DicomwebDestination):
        findings = _probe_web(destination)
    else:
        raise ConfigError("nothing-to-probe", f"{name} is a folder: it takes whatever it is sent.")
    profile = suggest(findings)
    stdout.print(Text("It would get ", "bold").append(", ".join(profile.results), ""))
    stdout.print(Text("Proof: ", "bold").append(_proof(profile), ""))
    if write is not None:
        _write(write, to_toml(name, findings, profile))
        note(f'{write} is written; name it in [destinations.{name}]: profile = "{write.stem}".')


def _destination(context: typer.Context, name: str) -> Destination:
    path = context_of(context).settings_path
    destinations = load_settings(path).destinations
    if name not in destinations:
        advice = nearest(name, destinations)
        raise ConfigError("no-such-destination", f"{path}: there is no '{name}'; {advice}.")
    return destinations[name]


def _probe_dimse(
    destination: DimseDestination, *, commitment: bool, report_port: int | None
) -> Findings:
    from clic_edge.pacs import probe as asking  # noqa: PLC0415 - as above
    from clic_edge.transports import dimse_peer  # noqa: PLC0415 - for a fast --help

    peer = dimse_peer(destination)
    offers: list[Offer] = []
    with Progress(console=stderr, transient=True) as progress:
        bar = progress.add_task("presentation contexts", total=len(asking.SOP_CLASSES))
        for offer in asking.offers(peer):
            offers.append(offer)
            progress.update(bar, completed=len(offers), description=offer.sop_class.name)
        progress.update(bar, description="queries")
        queries = asking.queries(peer)
        reported = None
        if commitment:
            progress.update(bar, description="storage commitment")
            reported = asking.commitment(
                peer, port=report_port, timeout_s=min(10.0, destination.timeout_s)
            )
    _show_offers(offers, asking.SYNTAXES)
    _show_answers(queries, reported)
    return Findings(
        offers=tuple(offers), queries=queries, commitment=reported, report_port=report_port
    )


def _probe_web(destination: DicomwebDestination) -> Findings:
    from clic_edge.pacs.probe_web import services  # noqa: PLC0415 - as above
    from clic_edge.transports import dicomweb_peer  # noqa: PLC0415 - for a fast --help

    found = services(dicomweb_peer(destination))
    _show_services(found)
    return Findings(services=found)


def _show_offers(offers: list[Offer], syntaxes: tuple[tuple[str, str], ...]) -> None:
    names = [name for name, _ in syntaxes]
    table(
        "presentation contexts",
        ("class", *names, "results", "why not"),
        (
            (
                offer.sop_class.name,
                *(_mark(yes=name in offer.syntaxes) for name in names),
                ", ".join(offer.sop_class.kinds),
                offer.rejection,
            )
            for offer in offers
        ),
    )


def _show_answers(
    queries: tuple[tuple[str, bool], ...], reported: CommitmentFinding | None
) -> None:
    rows = [
        (f"C-FIND, level {level}", _mark(yes=answers), "" if answers else "not allowed to us?")
        for level, answers in queries
    ]
    if reported is not None:
        came = reported.way != "none"
        rows.append(
            (
                "report of a storage commitment",
                _mark(yes=came),
                f"on {reported.way}: {reported.answer}" if came else reported.answer,
            )
        )
    rows.append(("names in UTF-8", Text("?"), "no PACS tells; look at the first result with an Å"))
    table("questions", ("what", "", "answer"), rows)


def _show_services(found: tuple[Service, ...]) -> None:
    table(
        "DICOMweb",
        ("service", "", "answer"),
        ((one.name, _mark(yes=one.offered), one.answer) for one in found),
    )


def _mark(*, yes: bool) -> Text:
    return Text("yes", style="green") if yes else Text("no", style="yellow")


def _where(destination: Destination) -> str:
    if isinstance(destination, DimseDestination):
        return f"{destination.called_ae_title} at {destination.host}:{destination.port}"
    if isinstance(destination, DicomwebDestination):
        return destination.url
    return str(destination.path)


def _proof(profile: DestinationProfile) -> str:
    if profile.commitment.way != "none":
        return f"storage commitment ({profile.commitment.way})"
    return {"none": "its receipts alone", "c-find": "C-FIND", "qido": "QIDO-RS"}[profile.confirm]


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            "out-unwritable", f"{path} cannot be written: {error.strerror}."
        ) from error
