"""`clic-edge dicomize`: photographs become DICOM, so that a clinic needs no DICOM camera."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clic_edge.cli.console import note, table
from clic_edge.cli.options import with_options
from clic_edge.dicom.orders import Order, read_form, read_worklist
from clic_edge.dicom.photograph_objects import (
    DEVICES,
    REGIONS,
    PhotographKind,
    Sitting,
    View,
    photograph_object,
    require_answers,
)
from clic_edge.dicom.photographs import Photograph, read_photograph
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from clic_edge.domain.prediction import Code
    from clic_edge.pacs.association import DimsePeer

_PEER = re.compile(r"(?P<ae>[^@\\\s]{1,16})@(?P<host>[^:\s]+):(?P<port>\d{1,5})")
_DEFAULT_REGIONS = {
    PhotographKind.OP: "eye",
    PhotographKind.XC: "skin",
    PhotographKind.DERMOSCOPY: "skin",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says."""

    photos: Annotated[
        list[Path], typer.Argument(help="JPEG or PNG files of one patient.", metavar="PHOTO...")
    ]
    kind: Annotated[
        PhotographKind, typer.Option("--as", help="What the photographs become.", show_choices=True)
    ]
    out: Annotated[Path | None, typer.Option(help="Folder for the DICOM files.")] = None
    to: Annotated[
        str | None, typer.Option(help="Who stores them: AE_TITLE@HOST:PORT.", metavar="PEER")
    ] = None
    patient_id: Annotated[str, typer.Option(help="Patient ID, where no file says it.")] = ""
    patient_name: Annotated[str, typer.Option(help="Family^Given.")] = ""
    birth_date: Annotated[str, typer.Option(help="YYYYMMDD.")] = ""
    sex: Annotated[str, typer.Option(help="M, F or O.")] = ""
    accession_number: Annotated[str, typer.Option(help="Of the order.")] = ""
    worklist: Annotated[
        Path | None, typer.Option(help="An entry of the modality worklist, as a DICOM file.")
    ] = None
    form: Annotated[
        Path | None, typer.Option(help="A form in JSON: patient_id, patient_name, …")
    ] = None
    laterality: Annotated[
        Literal["R", "L", "B"] | None, typer.Option(help="Which side; an eye needs one.")
    ] = None
    region: Annotated[str | None, typer.Option(help=f"Part of the body: {', '.join(REGIONS)}.")] = (
        None
    )
    device: Annotated[
        str, typer.Option(help=f"What an eye was seen through: {', '.join(DEVICES)}.")
    ] = "fundus-camera"
    description: Annotated[
        str, typer.Option(help="Of the series; a pipeline may ask for words in it.")
    ] = ""
    manufacturer: Annotated[str, typer.Option(help="Of the camera, where EXIF has none.")] = ""
    model: Annotated[str, typer.Option(help="Of the camera, where EXIF has none.")] = ""
    taken: Annotated[
        datetime | None, typer.Option(help="When; else what EXIF says, else the file's own time.")
    ] = None
    clean: Annotated[
        bool, typer.Option("--clean", help="You have looked: no text and no face in any picture.")
    ] = False


@with_options(Asked)
def dicomize(asked: Asked) -> None:
    """Make DICOM of photographs: one series, in the study that the order names.

    An upright baseline JPEG keeps its codestream; any other is decoded, and turned as EXIF says.
    What the camera wrote beside the picture, and where it was taken, stays behind. The same
    photograph and order have the same identifiers again. Without --clean the pictures count as
    showing text and a face, and don't leave the appliance.

    Example: `clic-edge dicomize eye.jpg --as op --laterality R --patient-id 4711 --out study`
    """
    if asked.out is None and asked.to is None:
        raise ConfigError("dicomize-nowhere", "Say where to: --out FOLDER, --to PEER, or both.")
    peer = _peer(asked.to) if asked.to else None
    order, view = _order(asked), _view(asked)
    order.require_valid()
    require_answers(view)
    photographs = [read_photograph(path) for path in asked.photos]
    moments = [
        _taken(asked, one, path) for one, path in zip(photographs, asked.photos, strict=True)
    ]
    sitting = Sitting.of(photographs, began_at=min(moments))
    files = [
        photograph_object(one, order, view, number=n, taken_at=at, sitting=sitting)
        for n, (one, at) in enumerate(zip(photographs, moments, strict=True), 1)
    ]
    if asked.out:
        _write(files, asked.out)
    if peer:
        from clic_edge.pacs.storing import store  # noqa: PLC0415 - for a fast --help

        store(files, peer)
    rows = [
        (path.name, f"{one.columns} x {one.rows}", "as it was" if one.is_encoded else "decoded")
        for path, one in zip(asked.photos, photographs, strict=True)
    ]
    table(f"{len(files)} photographs as {asked.kind}", ("photograph", "pixels", "JPEG"), rows)
    note(f"see {asked.out}" if asked.out else f"stored at {asked.to}")


def _order(asked: Asked) -> Order:
    if asked.worklist and asked.form:
        raise ConfigError("order-twice", "Give a --worklist or a --form, not both.")
    order = Order()
    if asked.worklist:
        order = read_worklist(asked.worklist)
    elif asked.form:
        order = read_form(asked.form)
    said = {
        name: value
        for name in ("patient_id", "patient_name", "birth_date", "sex", "accession_number")
        if (value := getattr(asked, name))
    }
    if any(getattr(order, name) not in {"", value} for name, value in said.items()):
        raise ConfigError(
            "order-twice", "The command line and the file name different patients or orders."
        )
    return replace(order, **said)


def _view(asked: Asked) -> View:
    region = asked.region or _DEFAULT_REGIONS.get(asked.kind)
    if region is None:
        raise ConfigError("region-missing", "Say which part of the body it is: --region breast.")
    return View(
        kind=asked.kind,
        region=_code("region", region, REGIONS),
        laterality=asked.laterality or "",
        device=_code("device", asked.device, DEVICES),
        manufacturer=asked.manufacturer,
        model=asked.model,
        description=asked.description,
        is_clean=asked.clean,
    )


def _code(what: str, name: str, known: dict[str, Code]) -> Code:
    if name not in known:
        raise ConfigError(
            "unknown-name", f"There is no {what} {name}; there is {', '.join(known)}."
        )
    return known[name]


def _taken(asked: Asked, photograph: Photograph, path: Path) -> datetime:
    # EXIF knows no time zone, so no other moment has one: it is what clocks on the spot show.
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone().replace(tzinfo=None)
    return asked.taken or photograph.taken_at or written


def _peer(text: str) -> DimsePeer:
    from clic_edge.pacs.association import DimsePeer  # noqa: PLC0415 - for a fast --help

    if not (found := _PEER.fullmatch(text)):
        raise ConfigError("dicomize-peer", "Write --to as AE_TITLE@HOST:PORT.")
    return DimsePeer(host=found["host"], port=int(found["port"]), called_ae_title=found["ae"])


def _write(files: list[bytes], out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files, 1):
            (out / f"{number:04d}.dcm").write_bytes(file)
    except OSError as error:
        raise ConfigError("out-unwritable", f"{out} can't be written: {error.strerror}.") from error
