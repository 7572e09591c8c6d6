"""`clic-edge deid`: folders made clean, what happens to a file, and the proof of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.text import Text
from typer.core import TyperGroup

from clic_edge.cli.console import note, stderr, stdout, table
from clic_edge.cli.context import context_of
from clic_edge.config import load_settings
from clic_edge.errors import ConfigError, Defect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.config import Settings
    from clic_edge.deid.batch import Order, Summary
    from clic_edge.deid.compare import Value
    from clic_edge.deid.explain import Explained
    from clic_edge.deid.file import Source
    from clic_edge.deid.keys import DeidKey
    from clic_edge.deid.profile import Profile

_LONGEST_SHOWN = 64


class _RunsByDefault(TyperGroup):
    """`deid IN OUT` is `deid run IN OUT`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's own base of Context is private
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="De-identification: folders, proof and keys. `clic-edge deid IN OUT --profile NAME` is "
    "short for `clic-edge deid run`.",
    cls=_RunsByDefault,
    no_args_is_help=True,
)

ProfileName = Annotated[
    str, typer.Option(help="Name of a profile: a file in the folder of profiles, without .toml.")
]
DicomFile = Annotated[Path, typer.Argument(help="A DICOM file.", metavar="FILE", exists=True)]
Values = Annotated[
    bool, typer.Option("--values", help="Show values too. They may name the patient.")
]
Workers = Annotated[int, typer.Option(help="Processes that clean side by side.", min=1)]
Report = Annotated[
    Path | None,
    typer.Option(help="JSON file that names each source in quarantine; it stays with you."),
]


@app.command()
def run(
    context: typer.Context,
    folders: Annotated[
        tuple[Path, Path],
        typer.Argument(
            help="Folder of files, looked through to any depth, and where the clean ones go.",
            metavar="IN OUT",
        ),
    ],
    *,
    profile: ProfileName,
    workers: Workers = 1,
    keep_names: Annotated[
        bool,
        typer.Option("--keep-names", help="Name files as in IN, where no name tells of a patient."),
    ] = False,
    report: Report = None,
) -> None:
    """Make a clean copy of a folder; what can't be made clean is named in OUT/quarantine.jsonl.

    A second run goes on where the first was cut off. Exit code 0: every file is clean; 5: some are
    in quarantine.

    Example: `clic-edge deid run ~/studies cohort --profile basic --workers 2`
    """
    from clic_edge.deid.batch import RunCutShort, sources_below  # noqa: PLC0415 - for a fast --help

    source, out = folders
    _check_folders(source, out)
    settings = load_settings(context_of(context).settings_path)
    order = order_of(settings, profile, out=out, workers=workers)
    if keep_names:
        order = replace(order, bench=replace(order.bench, keep_names_below=source))
    total = sum(1 for _ in sources_below(source))
    try:
        summary = cleaned(sources_below(source), order, total=total)
    except RunCutShort as error:
        _write_report(report, order, error.summary)
        raise
    _write_report(report, order, summary)
    finish(summary, out)


@app.command()
def explain(
    context: typer.Context,
    file: DicomFile,
    *,
    profile: ProfileName = "basic",
    values: Values = False,
) -> None:
    """Print what happens to each attribute of a file, and by which rule.

    Example: `clic-edge deid explain slice.dcm --profile basic`
    """
    from clic_edge.deid.explain import explain as explained  # noqa: PLC0415 - for a fast --help

    settings = load_settings(context_of(context).settings_path)
    explanation = explained(
        file.read_bytes(), profile_of(settings, profile), key_of(settings, may_be_any=True)
    )
    _show(f"{file}", explanation.attributes, values=values)
    if explanation.error:
        raise explanation.error


@app.command()
def diff(
    one: Annotated[Path, typer.Argument(help="A DICOM file.", metavar="A", exists=True)],
    other: Annotated[Path, typer.Argument(help="Another.", metavar="B", exists=True)],
    *,
    values: Values = False,
) -> None:
    """Print the attributes in which two files differ.

    Example: `clic-edge deid diff before.dcm after.dcm --values`
    """
    from clic_edge.deid.explain import differences  # noqa: PLC0415 - for a fast --help

    found = tuple(differences(one.read_bytes(), other.read_bytes()))
    _show(f"{one} and {other}: {len(found)} differences", found, values=values)


@app.command()
def verify(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="A folder with a certificate.", metavar="OUT")],
    *,
    public_key: Annotated[
        str, typer.Option(help="What `deid public-key` of the site printed. Default: our own.")
    ] = "",
) -> None:
    """Check a folder against its certificate: chain, signatures, and the digest of every file.

    Example: `clic-edge deid verify cohort`
    """
    from clic_edge.deid.certificate import public_key as public  # noqa: PLC0415 - for a fast --help
    from clic_edge.deid.verify import verify as verified  # noqa: PLC0415 - as above

    if not public_key:
        settings = load_settings(context_of(context).settings_path)
        public_key = public(key_of(settings))
    found = verified(out, public_key)
    for problem in found.problems:
        note(problem)
    if found.problems:
        raise Defect(
            "not-as-certified", f"{out} is not as certified: {len(found.problems)} problems."
        )
    stdout.print(
        f"{found.objects} objects of {found.studies} studies are as certified; "
        f"key {', '.join(found.key_ids)}",
        soft_wrap=True,
    )


@app.command()
def statement(context: typer.Context, *, profile: ProfileName) -> None:
    """Print what a profile does, in words, for a data protection officer.

    Example: `clic-edge deid statement --profile basic`
    """
    from clic_edge.deid.statement import statement as words  # noqa: PLC0415 - for a fast --help

    settings = load_settings(context_of(context).settings_path)
    stdout.print(Text(words(profile_of(settings, profile))), end="", soft_wrap=True)


@app.command()
def restore(
    context: typer.Context,
    file: DicomFile,
    *,
    out: Annotated[Path, typer.Option(help="File to write; it names the patient.")],
) -> None:
    """Bring a result that was made on a clean cohort (a SEG, an SR) back under the original UIDs.

    Needs the sealed crosswalk of its study, which `deid run` and `export` keep where the setting
    `crosswalk_days` asks for it.

    Example: `clic-edge deid restore seg.dcm --out original.dcm`
    """
    from clic_edge.deid.crosswalk import unseal  # noqa: PLC0415 - for a fast --help
    from clic_edge.deid.restore import restore as restored  # noqa: PLC0415 - as above
    from clic_edge.deid.restore import study_of  # noqa: PLC0415 - as above

    settings = load_settings(context_of(context).settings_path)
    content = file.read_bytes()
    folder = settings.appliance.crosswalks
    crosswalk = unseal(folder, study_of(content), key_of(settings), now=datetime.now(UTC))
    out.write_bytes(restored(content, crosswalk))


@app.command("init-key")
def init_key(context: typer.Context) -> None:
    """Make the secret key, readable by its owner only; an existing key is kept.

    Whoever has this file can link pseudonyms to patients: back it up, and keep it to yourself.
    """
    from clic_edge.deid.keys import create_key  # noqa: PLC0415 - loads what a worker needs

    path = load_settings(context_of(context).settings_path).appliance.deid_key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"The folder {path.parent} cannot be made: {error.strerror}."
        raise ConfigError("key-unwritable", sentence) from error
    made = create_key(path)
    stdout.print(f"{path} made; its name is {made.key_id}", soft_wrap=True)
    note("Back it up: without it no pseudonym can be made again.")


@app.command("page-key")
def make_page_key(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write; `web.key_file` names it.")],
) -> None:
    """Write the pages' part of the site's key: links and readers' stand-ins, no pseudonym.

    Example: `clic-edge deid page-key /etc/clic-edge/secrets/web/page-key`
    """
    from clic_edge.deid.page_key import PageKey, write_page_key  # noqa: PLC0415 - for a fast --help

    write_page_key(PageKey.of(key_of(load_settings(context_of(context).settings_path))), file)
    stdout.print(f"{file} made; give it to the user of the pages", soft_wrap=True)


@app.command("public-key")
def show_public_key(context: typer.Context) -> None:
    """Print what others need to verify our certificates: the key's name and its public half."""
    from clic_edge.deid.certificate import public_key  # noqa: PLC0415 - for a fast --help

    own = key_of(load_settings(context_of(context).settings_path))
    stdout.print(f"{own.key_id} {public_key(own)}", soft_wrap=True)


def order_of(settings: Settings, profile: str, *, out: Path, workers: int) -> Order:
    """Return the order for a cohort: the site's key, and its way back where it keeps one."""
    from clic_edge.deid.batch import Crosswalks, Order  # noqa: PLC0415 - for a fast --help
    from clic_edge.deid.crosswalk import expiry  # noqa: PLC0415 - as above
    from clic_edge.deid.file import Bench  # noqa: PLC0415 - as above

    crosswalks = None
    if days := settings.appliance.crosswalk_days:
        folder = settings.appliance.crosswalks
        crosswalks = Crosswalks(folder=folder, expires_at=expiry(days, datetime.now(UTC)))
    chosen = profile_of(settings, profile)
    chosen.require_for_release()
    bench = Bench(
        profile=chosen,
        key=key_of(settings),
        out=out,
        keeps_uids=crosswalks is not None,
    )
    return Order(bench=bench, workers=workers, crosswalks=crosswalks)


def profile_of(settings: Settings, name: str) -> Profile:
    """Return a profile by name. Raises ConfigError."""
    from clic_edge.deid.profile import load_profile  # noqa: PLC0415 - for a fast --help

    return load_profile(settings.appliance.deid_profiles / f"{name}.toml")


def key_of(settings: Settings, *, may_be_any: bool = False) -> DeidKey:
    """Return the site's key; where any key is enough and there is none, one of zeros."""
    from clic_edge.deid.keys import DeidKey, load_key  # noqa: PLC0415 - for a fast --help

    path = settings.appliance.deid_key
    return DeidKey(bytes(32)) if may_be_any and not path.exists() else load_key(path)


def cleaned(sources: Iterable[Source], order: Order, *, total: int | None) -> Summary:
    """Clean the sources, and show how far it is."""
    from clic_edge.deid.batch import clean_all  # noqa: PLC0415 - for a fast --help

    with Progress(console=stderr, transient=True) as progress:
        bar = progress.add_task("files", total=total)
        return clean_all(sources, order, lambda done: progress.advance(bar, done))


def finish(summary: Summary, out: Path) -> None:
    """Show what became of the files, and end with 5 when some are in quarantine."""
    rows = [("clean, in this run", str(summary.written)), ("done before", str(summary.skipped))]
    rows += [(f"quarantine: {code}", str(count)) for code, count in summary.held_by_code]
    table(f"{out}", ("files", ""), rows)
    if summary.held:
        raise typer.Exit(Defect.exit_code)


def _check_folders(source: Path, out: Path) -> None:
    if not source.exists():
        raise ConfigError("no-dicom", f"{source} is no folder, nor a command of deid.")
    one, other = source.resolve(), out.resolve()
    if other.is_relative_to(one) or one.is_relative_to(other):
        raise ConfigError("out-in-source", f"{out} and {source} must lie beside each other.")


def _write_report(path: Path | None, order: Order, summary: Summary) -> None:
    if path is None:
        return
    report = {
        "profile": order.bench.profile.name,
        "policy_digest": order.bench.profile.digest,
        "key_id": order.bench.key.key_id,
        "written": summary.written,
        "skipped": summary.skipped,
        "attributes": dict(summary.counts),
        "quarantined": [
            {"path": origin, "code": held.code, "reason": held.sentence}
            for origin, held in summary.held
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))


def _show(title: str, attributes: Iterable[Explained], *, values: bool) -> None:
    columns = ("tag", "name", "VR", "outcome", "rule", *(("before", "after") if values else ()))
    table(
        title,
        columns,
        (
            (
                *(one.path, one.name, one.vr, one.outcome, one.rule),
                *((_shown(one.before), _shown(one.after)) if values else ()),
            )
            for one in attributes
        ),
    )


def _shown(value: Value | None) -> str:
    if value is None:
        return ""
    text = bytes(value[:_LONGEST_SHOWN]).decode("latin-1").rstrip(" \0")
    shown = text if text.isprintable() else bytes(value[:_LONGEST_SHOWN]).hex(" ")
    return shown + ("…" if len(value) > _LONGEST_SHOWN else "")
