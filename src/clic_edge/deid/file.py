"""One file from source to output: cleaned, written aside, read back, proved, and only then named."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from clic_edge.deid import part10
from clic_edge.deid.clean import Removed, StandIns, is_registered
from clic_edge.deid.deidentify import clean_instance
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.plan import hold_to_plan
from clic_edge.deid.residue import decoded
from clic_edge.errors import Defect, Refusal, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.deid.compare import Outcome
    from clic_edge.deid.keys import DeidKey
    from clic_edge.deid.output import Output
    from clic_edge.deid.part10 import Part10
    from clic_edge.deid.profile import Profile
    from clic_edge.deid.residue import ResidueCheck
    from clic_edge.domain.clean import Pseudonym

PARTS = ".parts"
"""Where files lie before they are proved; on the file system of the output, emptied by each run."""
LARGEST_FILE = 4 << 30
"""Bytes of a file that is cleaned."""
CHECKS = ("residue", "plan", "read-back")
CHARACTER_SET, STUDY, SERIES, INSTANCE = 0x00080005, 0x0020000D, 0x0020000E, 0x00080018
_SHOWN = (0x00100010, 0x00100020, 0x00100030, 0x00080050, STUDY, SERIES, INSTANCE)
"""Whose values must not stand in a name that is kept: name, IDs, birth date, accession, UIDs."""
_LEAST_IN_NAME = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose an instance is, as its Part 10 file says; absent attributes are empty."""

    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)


class Source(Protocol):
    """One file to clean, read when its turn comes, in whatever process that is."""

    @property
    def path(self) -> Path | None:
        """Where it lies; None when it is no file of this machine."""
        ...

    @property
    def origin(self) -> str:
        """Where the operator finds it; it may name a patient."""
        ...

    def read(self) -> bytes:
        """Return the bytes. Raises Refusal or Defect when this one can't be had."""
        ...


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of this machine."""

    path: Path = field(repr=False)

    @property
    def origin(self) -> str:
        """Its path."""
        return str(self.path)

    def read(self) -> bytes:
        """Return the bytes. Raises Defect ``unreadable-file``, also for what may have no end."""
        try:
            if not self.path.is_file() or self.path.stat().st_size > LARGEST_FILE:
                raise Defect(
                    "unreadable-file",
                    f"The file is none of at most {LARGEST_FILE >> 30} GiB, but larger, or a device.",
                )
            return self.path.read_bytes()
        except OSError as error:
            raise Defect(
                "unreadable-file", f"The file cannot be read: {error.strerror}."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One clean file, with what the certificate says of it."""

    name: str
    """Its path below the output folder."""
    subject_id: str
    study_uid: str
    """Keyed."""
    series_uid: str
    """Keyed."""
    sop_class_uid: str
    digest_in: str
    """HMAC-SHA-256 of the source under the key: it names the source to the key's holder only."""
    digest_out: str
    """SHA-256 of the file."""
    counts: Mapping[Outcome, int]
    """How many attributes had which outcome."""
    uids: Mapping[str, str] = field(repr=False)
    """Stand-in to original of every UID, for a crosswalk; empty when none is kept."""
    subject: Subject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One file that was not written, and why."""

    digest_in: str
    """As of `Written`; empty when the file could not be read."""
    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """One file without identifiers, before it is judged with its series and written."""

    content: bytes = field(repr=False)
    source: Part10 = field(repr=False)
    subject: Subject = field(repr=False)
    pseudonym: Pseudonym
    name: PurePosixPath
    study_uid: str
    series_uid: str
    digest_in: str
    output: Output

    def held(self, error: Refusal | Defect) -> Held:
        """Return that it is not written, and why."""
        return Held(digest_in=self.digest_in, code=error.code, sentence=error.sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Under which policy and key files are cleaned, and where they go."""

    profile: Profile
    key: DeidKey
    out: Path
    keep_names_below: Path | None = None
    """Outputs keep their names relative to this folder; None names them by keyed UIDs."""
    keeps_uids: bool = False
    """Whether `Written.uids` is filled."""

    def cleaned(self, source: Source, residue: ResidueCheck) -> Cleaned | Held:
        """Return one file without identifiers, its face not judged yet; `residue` as `deidentify`."""
        digest = ""
        try:
            content = source.read()
            digest = source_digest(self.key, content)
            return self._cleaned(content, source.path, digest=digest, residue=residue)
        except (Refusal, Defect) as error:
            return Held(digest_in=digest, code=error.code, sentence=error.sentence)

    def _cleaned(
        self, content: bytes, path: Path | None, *, digest: str, residue: ResidueCheck
    ) -> Cleaned:
        source = part10.read(content)
        subject = subject_of(source)
        pseudonym = self.key.pseudonym(subject.patient_id, subject.issuer_of_patient_id)
        output = clean_instance(
            source, self.profile, stand_ins=StandIns(pseudonym), residue=residue
        )
        uids = [_uid(source, tag) for tag in (STUDY, SERIES, INSTANCE)]
        study, series, instance = (keyed_uid(uid, pseudonym) for uid in uids)
        name = PurePosixPath(pseudonym.subject_id, study, series, f"{instance}.dcm")
        if self.keep_names_below and path:
            name = PurePosixPath(path.relative_to(self.keep_names_below).as_posix())
            _check_name(name, source)
        return Cleaned(
            content=content,
            source=source,
            subject=subject,
            pseudonym=pseudonym,
            name=name,
            study_uid=study,
            series_uid=series,
            digest_in=digest,
            output=output,
        )

    def written(self, cleaned: Cleaned, output: Output) -> Written | Held:
        """Write one clean file, whole and proved, or none; `output` is what may be seen of it.

        Raises Transient ``out-unwritable`` when the output folder takes no file.
        """
        try:
            counts = _write(self, cleaned, output)
        except (Refusal, Defect) as error:
            return cleaned.held(error)
        source, pseudonym = cleaned.source, cleaned.pseudonym
        return Written(
            name=str(cleaned.name),
            subject_id=pseudonym.subject_id,
            study_uid=cleaned.study_uid,
            series_uid=cleaned.series_uid,
            sop_class_uid=_uid(source, 0x00080016) or source.sop_class_uid,
            digest_in=cleaned.digest_in,
            digest_out=_digest(output),
            counts=counts,
            uids=_uids(source, pseudonym) if self.keeps_uids else {},
            subject=cleaned.subject,
        )


def source_digest(key: DeidKey, content: bytes) -> str:
    """Return the digest by which a source is known again; without the key it says nothing."""
    return hmac.digest(key.derived("source-digest"), content, "sha256").hex()


def _write(bench: Bench, cleaned: Cleaned, output: Output) -> Mapping[Outcome, int]:
    """Write under a name of no meaning, read back, hold to the plan; then give it its name."""
    part = bench.out / PARTS / f"{secrets.token_hex(8)}.part"
    target = bench.out / cleaned.name
    subject_id = cleaned.pseudonym.subject_id
    try:
        try:
            _durably(part, output)
            if not holds(part, output):
                raise Defect("read-back-differs", "What was written is not what is read back.")
            counts = hold_to_plan(
                cleaned.source, output.parsed, bench.profile, subject_id=subject_id
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            _give_name(part, target, output)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Transient(
            "out-unwritable", f"The output folder takes no file: {error.strerror}."
        ) from error
    return counts


def _digest(output: Output) -> str:
    digest = sha256()
    for piece in output.pieces:
        digest.update(piece)
    return digest.hexdigest()


def _durably(path: Path, output: Output) -> None:
    """Write a file to the disk."""
    with path.open("xb") as file:
        file.writelines(output.pieces)
        file.flush()
        os.fsync(file.fileno())


def holds(path: Path, output: Output) -> bool:
    """Whether a file holds an output, byte for byte, and no more."""
    with path.open("rb") as file:
        return all(file.read(len(part)) == part for part in output.parts()) and not file.read(1)


def _give_name(part: Path, target: Path, output: Output) -> None:
    """Give the file its name, in one step; another's file is never replaced."""
    try:
        os.link(part, target)
    except OSError:  # the name is taken, or the file system knows no links
        if not target.exists():
            part.replace(target)
        elif not holds(target, output):
            raise duplicate() from None


def duplicate() -> Defect:
    """Return what holds a file whose name another one has."""
    return Defect(
        "duplicate-instance", "Another file of the same SOP Instance UID is written already."
    )


def subject_of(source: Part10) -> Subject:
    """Return whose an instance is. Raises Defect ``undecodable-text``."""
    return Subject(
        patient_id=_text(source, 0x00100020),
        issuer_of_patient_id=_text(source, 0x00100021),
        patient_name=_text(source, 0x00100010),
    )


def _text(source: Part10, tag: int) -> str:
    """Return an attribute of the top as text. Raises Defect ``undecodable-text``."""
    found = {element.tag: element for element in reversed(source.elements)}
    if tag not in found:
        return ""
    terms = bytes(found[CHARACTER_SET].value) if CHARACTER_SET in found else b""
    vr = "PN" if tag == 0x00100010 else "LO"  # noqa: PLR2004 - Patient's Name
    return decoded(Removed(tag, vr, bytes(found[tag].value), terms)).strip(" \0")


def _uid(source: Part10, tag: int) -> str:
    value = next((bytes(one.value) for one in source.elements if one.tag == tag), b"")
    uid = value.strip(b" \0").decode("latin-1")
    return uid or (source.sop_instance_uid if tag == INSTANCE else "")


def _uids(source: Part10, pseudonym: Pseudonym) -> Mapping[str, str]:
    """Return stand-in and original of each UID of a source that has a stand-in, at any depth."""
    found: set[str] = {_uid(source, INSTANCE)}
    rest = list(source.elements)
    while rest:
        element = rest.pop()
        for one in element.items or ():
            rest.extend(one)
        if element.vr == "UI":
            found |= {
                uid.strip(" \0") for uid in bytes(element.value).decode("latin-1").split("\\")
            }
    return {keyed_uid(uid, pseudonym): uid for uid in found if uid and not is_registered(uid)}


def _check_name(name: PurePosixPath, source: Part10) -> None:
    """Return when a name holds no identifier of its own file.

    Raises
    ------
    Defect
        ``identifier-in-name``: it does; without --keep-names the file gets another name.

    """
    shown = str(name).casefold()
    with contextlib.suppress(UnicodeError):
        shown += "\n" + str(name).encode("latin-1", "surrogateescape").decode("utf-8").casefold()
    for tag in _SHOWN:
        for word in _text(source, tag).replace("=", "^").replace("\\", "^").split("^"):
            for part in (word, *word.split()):
                if len(part) >= _LEAST_IN_NAME and part.casefold() in shown:
                    raise Defect(
                        "identifier-in-name",
                        f"The file's name holds ({tag >> 16:04X},{tag & 0xFFFF:04X});"
                        " leave --keep-names out.",
                    )
