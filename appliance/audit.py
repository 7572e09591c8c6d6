"""`make audit`: bandit over our code, and known vulnerabilities of what the appliance is made of.

bandit's tests are also ruff's S rules, so each of its findings has to stand on a line that gives
ruff its reason. Vulnerabilities are asked for by pip-audit; without internet they are looked up in
a file of OSV, brought from elsewhere: `--advisories all.zip`.

Exit code 0: nothing found; 1: something is; 2: nobody could be asked.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from parts import Part, wheels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
CODE = ("src", "orthanc-plugins", "appliance")
OSV = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
FOUND, UNASKED = 1, 2


def unexplained() -> Iterator[str]:
    """Yield each finding of bandit on a line without a reason, in a folder without one."""
    command = (sys.executable, "-m", "bandit", "--quiet", "--format", "json", "-r", *CODE)
    told = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    for one in json.loads(told.stdout)["results"]:
        text = (ROOT / one["filename"]).read_text(encoding="utf-8").splitlines()
        number = f"S{one['test_id'][1:]}"
        lines = "\n".join(text[min(one["line_range"]) - 1 : max(one["line_range"])])
        reason = rf"noqa: [^-]*\b{number}\b[^-]* - \w"
        harmless = one["test_id"] in IMPORTS or one["issue_text"] == EMPTY_TEXT
        if (
            not harmless
            and number not in _allowed(one["filename"])
            and not re.search(reason, lines)
        ):
            yield f"{one['filename']}:{one['line_number']}: {one['test_id']} {one['issue_text']}"


def _allowed(path: str) -> set[str]:
    """Return the rules that ruff does not ask of a file; each has its reason in pyproject.toml."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    rules = ruff["lint"]["per-file-ignores"].items()
    return {rule for pattern, given in rules if fnmatch(path, pattern) for rule in given}


IMPORTS = {"B403", "B404"}
"""That a module is imported: what is done with it is another finding."""
EMPTY_TEXT = "Possible hardcoded password: ''"
"""An empty text by default is none."""


def known(parts: Sequence[Part], advisories: Path) -> Iterator[str]:
    """Yield each advisory of a file of OSV that is about a part at hand."""
    versions = {canonicalize_name(part.name): part.version for part in parts}
    with zipfile.ZipFile(advisories) as archive:
        for name in sorted(archive.namelist()):
            advisory = json.loads(archive.read(name))
            for affected in () if "withdrawn" in advisory else advisory.get("affected", ()):
                part = canonicalize_name(affected["package"]["name"])
                if part in versions and _is_affected(versions[part], affected):
                    yield f"{part} {versions[part]}: {advisory['id']} {advisory.get('summary', '')}"


def _is_affected(version: str, affected: Mapping[str, list[dict[str, object]]]) -> bool:
    """Whether a version is among those listed, or in a range (schema of OSV, `affected`)."""
    if version in affected.get("versions", ()):
        return True
    return any(
        _lies_between(version, one["events"])
        for one in affected.get("ranges", ())
        if one["type"] == "ECOSYSTEM"
    )


def _lies_between(version: str, events: list[dict[str, str]]) -> bool:
    """Whether a version was affected at last, of events in their order."""
    marks = [(kind, text) for event in events for kind, text in event.items()]
    try:
        at = Version(version)
        for (kind, begin), (end_kind, end) in pairwise([*marks, ("fixed", f"{at.major + 1}")]):
            if kind != "introduced" or at < Version(begin):
                continue
            if at < Version(end) or (end_kind == "last_affected" and at == Version(end)):
                return True
    except InvalidVersion:
        return True  # nobody can tell, so a person looks
    return False


def asked(parts: Sequence[Part]) -> tuple[int, str]:
    """Return what pip-audit says of the parts: an exit code and its words."""
    pins = ROOT / "build" / "audited.txt"
    pins.parent.mkdir(exist_ok=True)
    pins.write_text("".join(f"{part.name}=={part.version}\n" for part in parts))
    command = (sys.executable, "-m", "pip_audit", "--strict", "--no-deps", "--disable-pip")
    told = subprocess.run(
        (*command, "--progress-spinner", "off", "--requirement", str(pins)),
        check=False,
        capture_output=True,
        text=True,
    )
    if told.returncode and "known vulnerabilit" not in told.stderr:
        return UNASKED, (
            "pip-audit could ask nobody about vulnerabilities. Without internet, bring the file\n"
            f"  {OSV}\nand run: make audit ADVISORIES=all.zip"
        )
    return (FOUND if told.returncode else 0), told.stdout + told.stderr


def main() -> None:
    """Tell what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--advisories", type=Path, help="all.zip of OSV for PyPI")
    given = parser.parse_args()
    parts = tuple(wheels(None))
    code = 0
    for finding in unexplained():
        sys.stdout.write(f"{finding}\n")
        code = FOUND
    if given.advisories:
        advisories = list(known(parts, given.advisories))
        sys.stdout.writelines(f"{one}\n" for one in advisories)
        sys.stdout.write(f"{len(parts)} parts, {len(advisories)} known vulnerabilities\n")
        sys.exit(max(code, FOUND if advisories else 0))
    status, words = asked(parts)
    sys.stdout.write(f"{words}\n")
    sys.exit(max(code, status))


if __name__ == "__main__":
    main()
