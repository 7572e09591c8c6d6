"""The stage: a series with identity goes in, a clean one comes out, or nothing does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clic_edge.deid import part10
from clic_edge.deid.clean import Cleaner, StandIns
from clic_edge.deid.codestream import blanked
from clic_edge.deid.defacing import defaced
from clic_edge.deid.faces import check_face, face_volume
from clic_edge.deid.markers import markers
from clic_edge.deid.options import UIDS
from clic_edge.deid.output import laid_out
from clic_edge.deid.pixels import PIXEL_DATA, must_be_looked_at, pixel_bytes
from clic_edge.deid.policy import compiled
from clic_edge.deid.redaction import cleaned_pixels
from clic_edge.deid.residue import ResidueCheck
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from clic_edge.deid.output import Output
    from clic_edge.deid.part10 import Element, Part10
    from clic_edge.deid.profile import Profile
    from clic_edge.domain.clean import Pseudonym
    from clic_edge.domain.study import Series

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
PATIENT_NAME, PATIENT_ID = 0x00100010, 0x00100020
_VIDEO = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7")
"""Prefixes of the transfer syntaxes of MPEG, HEVC and SMPTE streams."""


def deidentify(
    series: Series, profile: Profile, pseudonym: Pseudonym, *, residue: ResidueCheck | None = None
) -> CleanSeries:
    """Return the series without identifiers, slice for slice in the same order.

    A `residue` check that has seen similar series knows their words already.

    Transfer syntax, pixels and every kept value are those of the source, byte for byte, but where
    the profile has text blanked in the pixels, or a face cut away. The same series, profile and key give the same bytes.

    Raises
    ------
    Refusal
        ``not-deidentifiable``, ``burned-in-annotation``, ``unsafe-pixels`` or ``face-visible``: the
        profile can't clean this kind of object.
    Defect
        ``unreadable-instance``, ``unknown-transfer-syntax``, ``undecodable-text``, or
        ``residual-identifier``: a value of the source survived; nothing leaves this function.

    """
    stand_ins, residue = StandIns(pseudonym), residue or ResidueCheck()
    instances = []
    for number, instance in enumerate(series.instances, 1):
        try:
            source = part10.read(instance.content)
            output = clean_instance(source, profile, stand_ins=stand_ins, residue=residue)
        except (Refusal, Defect) as error:
            where = f"Instance {number} of {len(series.instances)}: {error.sentence}"
            raise type(error)(error.code, where) from error
        instances.append(CleanInstance(content=output.joined()))
    clean = CleanSeries(
        subject_id=pseudonym.subject_id,
        series_uid=_clean_uid(series.series_instance_uid, profile, stand_ins),
        instances=tuple(instances),
    )
    return without_face(series, clean, profile)


def without_face(series: Series, clean: CleanSeries, profile: Profile) -> CleanSeries:
    """Return a clean series as its profile lets it leave: as it is, or without its face.

    `clean` is what became of `series`. Raises Refusal ``face-visible``, and as `defaced`.
    """
    if profile.faces == "hold":
        check_face(series, clean)
    elif profile.faces == "deface" and (volume := face_volume(series, clean)):
        return defaced(clean, volume)
    return clean


def clean_instance(
    source: Part10, profile: Profile, *, stand_ins: StandIns, residue: ResidueCheck
) -> Output:
    """Return one instance without identifiers, as a Part 10 file. Raises as `deidentify`."""
    top = {element.tag: element for element in reversed(source.elements)}
    sop_class = _uid(top, SOP_CLASS_UID, source.sop_class_uid)
    sop_instance = _uid(top, SOP_INSTANCE_UID, source.sop_instance_uid)
    if source.transfer_syntax_uid.startswith(_VIDEO):
        raise Refusal("not-deidentifiable", "Video can't be de-identified.")
    source = _pictures_only(source)
    top = {element.tag: element for element in reversed(source.elements)}
    is_seen = must_be_looked_at(sop_class, top, profile.pixels)
    pixels = cleaned_pixels(source, top) if is_seen else None
    cleaner = Cleaner(compiled(profile, sop_class), source.encoding, stand_ins)
    cleaned = cleaner.dataset(source.elements, nested=False)
    sop = (sop_class, _clean_uid(sop_instance, profile, stand_ins))
    cleaned |= _identity(sop, stand_ins, part10.Writer(source.encoding))
    cleaned |= markers(profile, source.encoding, pixels_cleaned=is_seen)
    syntax, last = source.transfer_syntax_uid, _pixels(source, top)
    if pixels:
        cleaned = {tag: cleaned[tag] for tag in cleaned.keys() - pixels.dropped} | pixels.attributes
        syntax = pixels.transfer_syntax_uid
        last = [pixels.pixel_data] if pixels.pixel_data else last
    output = laid_out(sop, syntax, [cleaned[tag] for tag in sorted(cleaned)], bulk=last)
    subject_id = stand_ins.subject_id.decode("ascii")
    residue.search(output.parsed, cleaner.removed, subject_id, spared=cleaner.spared)
    return output


def _clean_uid(uid: str, profile: Profile, stand_ins: StandIns) -> str:
    return uid if UIDS in profile.options else stand_ins.uid(uid.encode()).decode("ascii")


def _identity(sop: tuple[str, str], stand_ins: StandIns, writer: part10.Writer) -> dict[int, bytes]:
    """Return what every clean instance has, also where the source had none: subject and SOP UIDs."""
    return {
        SOP_CLASS_UID: writer.element(SOP_CLASS_UID, "UI", sop[0].encode("ascii")),
        SOP_INSTANCE_UID: writer.element(SOP_INSTANCE_UID, "UI", sop[1].encode("ascii")),
        PATIENT_NAME: writer.element(PATIENT_NAME, "PN", stand_ins.subject_id),
        PATIENT_ID: writer.element(PATIENT_ID, "LO", stand_ins.subject_id),
    }


def _pictures_only(source: Part10) -> Part10:
    """Return the instance with comments and application segments of compressed pixels blanked."""
    *others, last = source.elements
    if last.tag != PIXEL_DATA or not last.encapsulated:
        return source
    pictures = last._replace(value=blanked(memoryview(last.value)))
    return replace(source, elements=(*others, pictures))


def _pixels(source: Part10, top: dict[int, Element]) -> list[bytes | memoryview]:
    """Return header and value of the pixel data, which stands last; nothing where there is none."""
    last = source.elements[-1]
    if last.tag not in part10.BULK_TAGS:
        return []
    if last.tag == PIXEL_DATA and not last.encapsulated:
        last = last._replace(value=pixel_bytes(top, source.encoding))
    return part10.Writer(source.encoding).bulk(last)


def _uid(top: dict[int, Element], tag: int, in_file_meta: str) -> str:
    """Return a UID that every instance must have; that of the File Meta where the dataset has none."""
    value = bytes(top[tag].value).strip(b" \0") if tag in top else b""
    value = value or in_file_meta.encode()
    if not value or not value.isascii():
        raise Defect(
            "unreadable-instance", f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing or not a UID."
        )
    return value.decode("ascii")
