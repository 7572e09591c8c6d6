"""The parts of the appliance, each with version, licence and digest: wheels, Debian, models, viewer."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clic_edge.inference.package import load_package
from clic_edge.web.install import INTEGRITY, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from email.message import Message
    from importlib.metadata import PackageMetadata

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
HOST = ("orthanc", "orthanc-python", "orthanc-dicomweb", "orthanc-gdcm", "dcmtk", "dicom3tools")
"""Debian packages that the appliance asks for; theirs follow."""
COPYLEFT = ("AGPL", "GPL", "OSL", "CC-BY-SA")
WEAK = ("LGPL", "MPL", "EPL", "CDDL")
NO_COMMERCE = "-NC"
UNSTATED = "unstated"
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD-3-Clause": "BSD-3-Clause",
    "GPL V3.0": "GPL-3.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Words of older metadata, as far as SPDX has one identifier for them."""
_FIELDS = "${Package}\t${Version}\t${Architecture}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One component of the SBOM."""

    name: str
    version: str
    kind: str
    """As CycloneDX says: library, application, machine-learning-model."""
    source: str
    """Where it comes from, in a word for people."""
    reference: str
    licences: tuple[str, ...]
    is_expression: bool = False
    """Whether the one licence is an SPDX expression."""
    hashes: tuple[tuple[str, str], ...] = ()
    purl: str = ""
    needs: tuple[str, ...] = ()
    """References of other parts."""
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def note(self) -> str:
        """What its licence asks of whoever passes it on; empty where nothing but naming."""
        notes = [_note(word) for one in self.licences for word in one.split()]
        found = [note for note in ("no commerce", "copyleft", "weak") if note in notes]
        if self.licences == (UNSTATED,):
            return UNSTATED
        if not found:
            return ""
        return found[0] if self.is_expression or _note(self.licences[0]) else "in parts"


def _note(licence: str) -> str:
    if NO_COMMERCE in licence:
        return "no commerce"
    if licence.lstrip("(").startswith(WEAK):
        return "weak"
    return "copyleft" if licence.lstrip("(").startswith(COPYLEFT) else ""


def wheels(folder: Path | None) -> Iterator[Part]:
    """Yield each wheel of a folder, else each distribution that clic-edge needs here."""
    if folder is None:
        for one in _closure():
            record = one.read_text("RECORD") or ""
            digest = hashlib.sha256(record.encode()).hexdigest()
            yield _distribution(one.metadata, properties=(("record-sha256", digest),))
        return
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            name = next(one for one in wheel.namelist() if one.endswith(".dist-info/METADATA"))
            headers = Parser().parsestr(wheel.read(name).decode(), headersonly=True)
        yield _distribution(headers, hashes=(("SHA-256", _sha256(path)),))


def _closure() -> list[metadata.Distribution]:
    """Return the installed distributions that clic-edge needs, by name."""
    asked = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    found, rest = dict[str, metadata.Distribution](), [Requirement(one) for one in asked]
    seen = set[str]()
    while rest:
        one = rest.pop()
        if str(one) not in seen:
            seen.add(str(one))
            name = canonicalize_name(one.name)
            found[name] = metadata.distribution(name)
            rest += _needed(found[name].requires or (), one.extras)
    return [found[name] for name in sorted(found)]


def _needed(requirements: Iterable[str], extras: Iterable[str] = ()) -> list[Requirement]:
    """Return the requirements that hold here, with these extras."""
    return [
        one
        for one in map(Requirement, requirements)
        if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def _distribution(
    headers: PackageMetadata | Message,
    *,
    hashes: tuple[tuple[str, str], ...] = (),
    properties: tuple[tuple[str, str], ...] = (),
) -> Part:
    name, version = canonicalize_name(headers["Name"]), headers["Version"]
    licence = _licence(headers)
    needed = _needed(
        headers.get_all("Requires-Dist") or (), headers.get_all("Provides-Extra") or ()
    )
    return Part(
        name=name,
        version=version,
        kind="library",
        source="Python",
        reference=f"pypi:{name}",
        licences=(licence,),
        is_expression=bool(headers["License-Expression"]) or licence in SPDX.values(),
        hashes=hashes,
        purl=f"pkg:pypi/{name}@{version}",
        needs=tuple(f"pypi:{canonicalize_name(one.name)}" for one in needed),
        properties=properties,
    )


def _licence(headers: PackageMetadata | Message) -> str:
    """Return the licence as SPDX says it, as far as the metadata let us."""
    if expression := headers["License-Expression"]:
        return expression
    words = (headers["License"] or "").strip()
    classifiers = [
        one.rpartition(" :: ")[2]
        for one in headers.get_all("Classifier") or ()
        if one.startswith("License :: OSI Approved ::")
    ]
    if words and words != "LICENSE" and "\n" not in words and len(words) <= _LONGEST_NAME:
        return SPDX.get(words, words)
    return " AND ".join(SPDX.get(one, one) for one in classifiers) or UNSTATED


def debian(folder: Path | None) -> Iterator[Part]:
    """Yield each Debian package of a folder, else each installed one that ours need."""
    if folder is None:
        for fields in _installed():
            path = Path("/usr/share/doc", fields[0], "copyright")
            words = path.read_text(errors="replace") if path.exists() else ""
            yield _package(fields, words)
        return
    for path in sorted(folder.glob("*.deb")):
        fields = _ask("dpkg-deb", "--show", f"--showformat={_FIELDS}", str(path))[0]
        yield _package(fields, _copyright(path, fields[0]), hashes=(("SHA-256", _sha256(path)),))


def _installed() -> list[list[str]]:
    """Return the rows of what the host's packages need, themselves included, by name."""
    every = _ask("dpkg-query", "--show", f"--showformat={_FIELDS}")
    by_name = {row[0]: row for row in every}
    for row in every:
        for provided in _names(row[4]):
            by_name.setdefault(provided, row)
    found, rest = dict[str, list[str]](), list(HOST)
    while rest:
        name = rest.pop()
        row = by_name.get(name, [])
        if row and row[0] not in found:
            found[row[0]] = row
            rest += _names(row[3])
    return [found[name] for name in sorted(found)]


def _names(relations: str) -> list[str]:
    """Return the package names of a field such as Depends."""
    each = relations.replace("|", ",").split(",")
    return [one.split()[0].partition(":")[0] for one in each if one.strip()]


def _ask(*command: str) -> list[list[str]]:
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in answer.splitlines()]


def _copyright(path: Path, name: str) -> str:
    """Return the copyright file inside a Debian package; empty where it is another's."""
    with (
        subprocess.Popen(
            ("/usr/bin/dpkg-deb", "--fsys-tarfile", str(path)), stdout=subprocess.PIPE
        ) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as files,
    ):
        for member in files:
            if member.isfile() and member.name.endswith(f"/doc/{name}/copyright"):
                opened = files.extractfile(member)
                return opened.read().decode(errors="replace") if opened else ""
    return ""


def _package(fields: list[str], words: str, *, hashes: tuple[tuple[str, str], ...] = ()) -> Part:
    name, version, architecture = fields[:3]
    named = re.findall(r"^License:[ \t]*(\S.*)$", words, re.MULTILINE) or [
        one.rstrip(".") for one in re.findall(r"/usr/share/common-licenses/([\w.-]+)", words)
    ]
    return Part(
        name=name,
        version=version,
        kind="library" if name.startswith("lib") else "application",
        source="Debian",
        reference=f"deb:{name}",
        licences=tuple(dict.fromkeys(one.strip() for one in named)) or (UNSTATED,),
        hashes=hashes,
        purl=f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}",
        needs=tuple(f"deb:{one}" for one in _names(fields[3])),
    )


def models(folder: Path) -> Iterator[Part]:
    """Yield each model package of a folder, its bytes compared with its digests."""
    for path in sorted(folder.glob("*/digests.json")):
        package = load_package(path.parent)
        declared = package.declaration
        yield Part(
            name=declared.id,
            version=declared.version,
            kind="machine-learning-model",
            source="model",
            reference=f"model:{declared.id}",
            licences=(declared.licence,),
            is_expression=True,
            hashes=(("SHA-256", package.digest),),
            properties=(("digest", "SHA-256 over the names and digests of the package's files"),),
        )


def viewer() -> Part:
    """Return the viewer, as the registry of npm has it."""
    algorithm, _, digest = INTEGRITY.partition("-")
    return Part(
        name="@ohif/app",
        version=VERSION,
        kind="application",
        source="viewer",
        reference="npm:@ohif/app",
        licences=("MIT",),
        is_expression=True,
        hashes=((algorithm.upper().replace("SHA", "SHA-"), base64.b64decode(digest).hex()),),
        purl=f"pkg:npm/%40ohif/app@{VERSION}",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
