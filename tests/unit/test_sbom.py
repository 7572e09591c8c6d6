from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "appliance"))

import sbom

from clic_edge.inference.package import load_package

ROOT = Path(__file__).resolve().parent.parent.parent
CONTROL = """Package: odd
Version: 1.0+x
Architecture: all
Maintainer: nobody <nobody@example.org>
Depends: even (>= 2), other | another
Description: nothing
"""


def written(out: Path, *options: str) -> dict[str, object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sbom", str(out), *options])
        sbom.main()
    return json.loads(out.read_text())


def schema(name: str) -> dict[str, object]:
    return json.loads((files("cyclonedx.schema") / "_res" / name).read_text())


def errors(document: dict[str, object]) -> list[str]:
    """Return what the official schema of CycloneDX 1.6 says against a document."""
    names = [f"{part}.SNAPSHOT.schema.json" for part in ("spdx", "jsf-0.82", "cryptography-defs")]
    base = "http://cyclonedx.org/schema/"
    registry = jsonschema_rs.Registry([(base + one, schema(one)) for one in names])
    bom = schema("bom-1.6.SNAPSHOT.schema.json")
    validator = jsonschema_rs.Draft7Validator(bom, registry=registry)
    return [error.message for error in validator.iter_errors(document)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel and a Debian package, as a bundle holds them."""
    folder = tmp_path_factory.mktemp("bundle")
    inside = folder / "odd"
    (inside / "DEBIAN").mkdir(parents=True)
    (inside / "DEBIAN" / "control").write_text(CONTROL)
    doc = inside / "usr" / "share" / "doc" / "odd"
    doc.mkdir(parents=True)
    (doc / "copyright").write_text("Files: *\nLicense: GPL-3+\n\nFiles: a\nLicense: Expat\n")
    subprocess.run(["dpkg-deb", "--build", str(inside), str(folder)], check=True, stdout=-3)
    wheel = folder / "even-2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "even-2.dist-info/METADATA",
            "Metadata-Version: 2.4\nName: Even\nVersion: 2\nLicense-Expression: MIT\n",
        )
    return folder


@pytest.mark.slow
def test_the_sbom_of_what_is_installed_follows_the_schema_and_names_what_we_ask_for(
    tmp_path: Path,
) -> None:
    document = written(tmp_path / "sbom.json", "--licences", str(tmp_path / "licences.md"))
    assert errors(document) == []
    names = {one["bom-ref"]: one for one in document["components"]}
    assert names.keys() >= {"pypi:pydicom", "pypi:psycopg-binary", "deb:orthanc", "npm:@ohif/app"}
    package = load_package(ROOT / "models" / "hippocampus")
    assert names["model:hippocampus"]["hashes"][0]["content"] == package.digest
    assert all(one.get("licenses") for one in names.values())
    table = (tmp_path / "licences.md").read_text()
    documented = (ROOT / "docs" / "reference" / "licences.md").read_text()
    for row in table.splitlines():
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) > 4 and cells[2] in ("Python", "model", "viewer") and cells[4]:
            assert f"| {cells[1].split()[0]} |" in documented, "a licence that binds is not told"


@pytest.mark.slow
def test_a_bundle_is_told_by_the_digests_of_its_files_the_same_each_time(
    bundle: Path, tmp_path: Path
) -> None:
    options = ("--wheels", str(bundle), "--packages", str(bundle), "--models", str(bundle))
    document = written(tmp_path / "one.json", *options)
    assert errors(document) == []
    parts = {one["bom-ref"]: one for one in document["components"]}
    for name, pattern in (("pypi:even", "*.whl"), ("deb:odd", "*.deb")):
        digest = hashlib.sha256(next(bundle.glob(pattern)).read_bytes()).hexdigest()
        assert parts[name]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert [one["license"]["name"] for one in parts["deb:odd"]["licenses"]] == ["GPL-3+", "Expat"]
    assert document == written(tmp_path / "two.json", *options)
