"""What the appliance is made of, for those who answer for it: a CycloneDX SBOM, and a table of licences.

`python appliance/sbom.py OUT [--wheels DIR] [--packages DIR] [--models DIR] [--licences FILE]`

Wheels and Debian packages are read from folders of a bundle, else from what is installed here.
The same input gives the same bytes: no time stands in the file, and its serial number is a digest.
"""

from __future__ import annotations

import argparse
import json
import uuid
from pathlib import Path

from parts import Part, debian, models, viewer, wheels

import clic_edge

ROOT = Path(__file__).resolve().parent.parent
SELF = "clic-edge"
NAMESPACE = uuid.UUID("d15f9a1e-6f0b-5b0e-9d7e-0d4f4d9f6f35")
"""Serial numbers of our SBOMs derive from it and from their content."""


def sbom(parts: tuple[Part, ...]) -> str:
    """Return the SBOM of the parts as CycloneDX 1.6 JSON."""
    known = {part.reference for part in parts}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": SELF,
                "name": SELF,
                "version": clic_edge.__version__,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": [_component(part) for part in parts],
        "dependencies": [
            {"ref": SELF, "dependsOn": sorted(known)},
            *(
                {"ref": part.reference, "dependsOn": sorted({*part.needs} & known)}
                for part in parts
            ),
        ],
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))
    return json.dumps(document | {"serialNumber": serial.urn}, indent=1, ensure_ascii=False) + "\n"


def _component(part: Part) -> dict[str, object]:
    licences = (
        [{"expression": part.licences[0]}]
        if part.is_expression
        else [{"license": {"name": name}} for name in part.licences]
    )
    optional = {
        "hashes": [{"alg": algorithm, "content": digest} for algorithm, digest in part.hashes],
        "licenses": licences,
        "purl": part.purl,
        "properties": [{"name": f"clic-edge:{k}", "value": v} for k, v in part.properties],
    }
    return {
        "type": part.kind,
        "bom-ref": part.reference,
        "name": part.name,
        "version": part.version,
    } | {key: value for key, value in optional.items() if value}


def licence_table(parts: tuple[Part, ...]) -> str:
    """Return the parts with their licences as Markdown, what binds whoever passes them on first."""
    head = (
        "# Licences of what is inside\n\n"
        "Written by `make sbom`. *copyleft*: who passes the part on, changed or linked, passes its "
        "source on under the same licence; *weak*: only for the part itself, or its files; *in "
        "parts*: for some files of the part; *no commerce*: not for commercial use; *unstated*: "
        "the part's metadata name no licence.\n\n"
        "| part | kind | licence | note |\n|---|---|---|---|\n"
    )
    order = sorted(parts, key=lambda part: (not part.note, part.kind, part.name.casefold()))
    return head + "".join(
        f"| {part.name} {part.version} | {part.source} | {_briefly(part.licences)} | {part.note} |\n"
        for part in order
    )


def _briefly(licences: tuple[str, ...]) -> str:
    """Return the first of the licences, which is the part's own, and how many its files add."""
    more = f" and {len(licences) - 1} more" if len(licences) > 1 else ""
    return licences[0] + more


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the SBOM")
    parser.add_argument("--wheels", type=Path, help="folder of wheels; else what is installed")
    parser.add_argument("--packages", type=Path, help="folder of .deb files; else installed ones")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--licences", type=Path, help="also write the table of licences")
    asked = parser.parse_args()
    parts = (
        *wheels(asked.wheels),
        *debian(asked.packages),
        *models(asked.models),
        viewer(),
    )
    asked.out.write_text(sbom(parts), encoding="utf-8")
    if asked.licences:
        asked.licences.write_text(licence_table(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
