"""`clic-edge models`: model packages, from the first file to the site."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge.cli import footprint, standing
from clic_edge.cli.console import note, stdout, table, whole
from clic_edge.cli.context import context_of
from clic_edge.cli.granting import site_for
from clic_edge.config import load_settings
from clic_edge.errors import ConfigError
from clic_edge.inference.archive import opened, pack
from clic_edge.inference.lineage import read_lineage
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import CARD, DECLARATION, load_package, write_digests
from clic_edge.inference.signing import SIGNATURE, create_signing_key, sign, verify_signature
from clic_edge.inference.store import install, installed, remove
from clic_edge.inference.testset import replay, require_same, seal, with_acquisition
from clic_edge.pipeline.granting import granted

if TYPE_CHECKING:
    from clic_edge.config import Settings
    from clic_edge.config.settings import Appliance
    from clic_edge.inference.store import Installed

app = typer.Typer(
    help="Model packages: make, check, sign, install.\n\n"
    "A package is a folder: model.toml, the network, a test set, digests, a signature.",
    no_args_is_help=True,
)
app.command()(standing.accept)
app.command()(standing.promote)
app.command()(standing.state)
app.command()(standing.suspend)
app.command()(standing.retire)
app.command()(standing.history)
app.command()(footprint.measure)
Package = Annotated[Path, typer.Argument(help="Folder of a package.", metavar="PACKAGE")]
Source = Annotated[
    Path, typer.Argument(help="Folder or .clic archive of a package.", metavar="PACKAGE")
]
Keys = Annotated[
    Path | None, typer.Option(help="Folder of public keys; default the site's `model_keys`.")
]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="New folder.", metavar="FOLDER")],
) -> None:
    """Begin a package: a model.toml that explains every key, and a card to fill in."""
    if folder.exists():
        raise ConfigError("package-exists", f"{folder} exists; name a new folder.")
    templates = files("clic_edge.inference") / "template"
    folder.mkdir(parents=True)
    for name in (DECLARATION, CARD):
        text = (templates / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("my-model", folder.name), encoding="utf-8")
    note(f"Fill in {folder / DECLARATION} and {folder / CARD}, put the network beside them, then:")
    note(f"clic-edge models check {folder}")


@app.command("init-key")
def init_key(
    path: Annotated[Path, typer.Argument(help="New file of the private key.", metavar="FILE")],
) -> None:
    """Make a key to sign packages with; sites get the .pub file beside it, named after you."""
    public = create_signing_key(path)
    note(f"Keep {path} to yourself. Sites that trust you put {public} into their `model_keys`.")


@app.command()
def check(context: typer.Context, package: Package) -> None:
    """Look at a package as the gate does: declaration, network, shapes, test set.

    While nobody has signed it, the digests are written anew.
    """
    signed = (package / SIGNATURE).exists()
    declared = (load_package(package) if signed else write_digests(package)).declaration
    runtime = load_runtime(package, site_for(context, package))
    stdout.print(f"{declared.id} {declared.version}: the network loads and fits model.toml")
    count = 0
    for one in replay(package, runtime):
        require_same(one)
        count += 1
        stdout.print(f"test case {one.name}: {one.differing} of {one.found} voxels differ")
        if one.farthest:
            stdout.print(f"  probabilities differ by at most {one.farthest:.1e}")
    if not count:
        note("It has no test set; `clic-edge models seal` makes one, and constancy needs it.")


@app.command("seal")
def seal_case(
    context: typer.Context,
    package: Package,
    image: Annotated[
        Path, typer.Argument(help="Volume in NIfTI, or an image in JPEG or PNG.", metavar="IMAGE")
    ],
    *,
    acquisition: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What NIfTI can't say; may be repeated."),
    ] = None,
) -> None:
    """Add a volume or an image to the test set, with the answer that the package gives now.

    What the package asks of patient and protocol, such files don't tell: say it here.

    Example: `clic-edge models seal my-model phantom.nii.gz --acquisition age_years=40`
    """
    write_digests(package)
    declared, runtime = (
        load_package(package).declaration,
        load_runtime(package, site_for(context, package)),
    )
    if declared.image:
        from clic_edge.validation.photographs import read_image  # noqa: PLC0415 - slow to load

        seen = with_acquisition(
            read_image(image, modality=declared.image.modalities[0]), acquisition or ()
        )
        path = seal(package, image.stem, volume=seen, runtime=runtime)
    else:
        from clic_edge.validation.folder import read_volume  # noqa: PLC0415 - as above

        name, volume = read_volume(image, modality=declared.input.modality)
        told = with_acquisition(volume, acquisition or ())
        path = seal(package, name, volume=told, runtime=runtime)
    write_digests(package)
    stdout.print(f"sealed: {path}")


@app.command("sign")
def sign_package(
    context: typer.Context,
    package: Package,
    key: Annotated[Path, typer.Option(help="Your private key, of `init-key`.")],
) -> None:
    """Vouch for a package that loads: write its digests, and your signature over them."""
    write_digests(package)
    load_runtime(package, site_for(context, package))
    sign(package, key, at=datetime.now(UTC))
    stdout.print(f"signed: {load_package(package).digest}")


@app.command("pack")
def pack_package(
    package: Package,
    archive: Annotated[Path, typer.Argument(help="New file, NAME.clic.", metavar="ARCHIVE")],
) -> None:
    """Write a package as one file, to carry to a site."""
    pack(package, archive)
    stdout.print(f"packed: {archive}, {archive.stat().st_size / 1e6:.1f} MB")


@app.command()
def verify(context: typer.Context, package: Source, *, keys: Keys = None) -> None:
    """Say who vouches for a package, and whether it is byte for byte what they signed."""
    trusted = keys or _site(context).model_keys
    with opened(package) as folder:
        loaded = load_package(folder)
        by = verify_signature(folder, trusted)
    stdout.print(f"{loaded.declaration.id} {loaded.declaration.version}, {loaded.digest}")
    stdout.print(f"signed by {by.signer} ({by.key_id}) on {by.signed_at:%Y-%m-%d %H:%M} UTC")


@app.command("install")
def install_package(
    context: typer.Context,
    package: Source,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of an earlier version.")
    ] = False,
) -> None:
    """Bring a package to the site: verified, run here and measured, then in place as a whole."""
    settings = load_settings(context_of(context).settings_path)
    gate = partial(_gate, settings=settings)
    there = install(package, settings.appliance.models, verify=gate, replace=replace)
    declared = there.declaration
    stdout.print(f"installed: {declared.id} {declared.version}, as {there.folder}")
    note("Pipelines name it by `model`; restart the worker when it takes the place of another.")


@app.command("list")
def list_packages(context: typer.Context) -> None:
    """List what lies on the site: version, signer, and what is wrong with it."""
    site = _site(context)
    found = installed(site.models, site.model_keys)
    table(
        f"model packages in {site.models}: {len(found)}",
        (whole("model"), "version", "for", "signed by", "state"),
        [_row(one) for one in found],
    )


@app.command()
def show(package: Source) -> None:
    """Print what a package says of itself: what it is for, takes and gives, and where it is from."""
    with opened(package) as folder:
        loaded = load_package(folder)
        lineage = read_lineage(folder)
    declared = loaded.declaration
    rows = [
        ("title", declared.title),
        ("id and version", f"{declared.id} {declared.version}"),
        ("manufacturer", declared.manufacturer),
        ("intended use", " ".join(declared.intended_use.split())),
        *(("limit", one) for one in declared.limits),
        *declared.told(),
        ("licence", declared.licence),
        *(("gives", words) for words in declared.gives),
        *(lineage.words() if lineage else ()),
        ("digest", loaded.digest),
    ]
    table(declared.title, ("", ""), rows)


@app.command("remove")
def remove_package(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As `list` shows it.", metavar="MODEL")],
) -> None:
    """Take a package off the site; pipelines that name it are refused from then on."""
    remove(_site(context).models, name)
    stdout.print(f"removed: {name}")


def _site(context: typer.Context) -> Appliance:
    return load_settings(context_of(context).settings_path).appliance


def _gate(folder: Path, settings: Settings) -> None:
    """Raise what speaks against a package: nobody vouches, it does not run, or answers otherwise."""
    signed = not settings.appliance.unsigned_models
    if signed:
        verify_signature(folder, settings.appliance.model_keys)
    site = granted(settings.runtimes, trusted=signed)
    for one in replay(folder, load_runtime(folder, site)):
        require_same(one)
    footprint.keep_measured(folder, site)


def _row(one: Installed) -> tuple[str, str, str, str, Text]:
    declared = one.package.declaration if one.package else None
    state = Text(one.problem.sentence, "bold red") if one.problem else Text("sound", "green")
    return (
        one.name,
        declared.version if declared else "",
        ", ".join(declared.modalities) if declared else "",
        one.signature.signer if one.signature else "",
        state,
    )
