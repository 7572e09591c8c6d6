"""One signed archive with all that a bare Debian 12 needs: `make bundle`.

`python appliance/bundle/build.py [--key KEY.pem] [--out dist] [--cache build/bundle]`

What is downloaded stays in the cache. Without a key one is made there, which no site should trust.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from pathlib import Path

from debian import packages
from openpgp import public_key, read_key, signature

from clic_edge.inference.signing import create_signing_key

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ("appliance", "configs", "docs", "models", "orthanc-plugins")
"""Folders of the source tree that go to the site as they are tracked there."""
PAGES = ("CHANGELOG.md", "LICENSE", "README.md")
SUMS, SIGNATURE, KEYRING = "SHA256SUMS", "SHA256SUMS.sig", "release-key.gpg"
SIGNER = "clic-edge release"
GUARD = "appliance/orthanc/nesting.cpp"
"""What bounds the recursion of Orthanc's parser; the unit loads it, compiled."""
LARGEST = 8
"""Files that are named when it is told what takes the room."""


def wheels(source: Path, cache: Path) -> Path:
    """Return a folder with our wheel and all that it needs, without extras, as constraints pin it."""
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = "\n".join(project["dependencies"]).encode() + (source / "constraints.txt").read_bytes()
    folder = cache / f"wheels-{hashlib.sha256(asked).hexdigest()[:12]}"
    own = cache / "own"
    shutil.rmtree(own, ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    _run(*pip, "wheel", "--no-deps", "--wheel-dir", str(own), str(source))
    (wheel,) = own.glob("*.whl")
    if not (folder / "complete").exists():
        only = ("--only-binary", ":all:", "--constraint", str(source / "constraints.txt"))
        _run(*pip, "download", *only, "--dest", str(folder), str(wheel))
        for one in folder.glob("clic_edge-*.whl"):
            one.unlink()
        (folder / "complete").touch()
    return folder


def stage(source: Path, cache: Path, *, version: str) -> Path:
    """Return the folder that becomes the archive, without checksums and signature."""
    folder = cache / f"clic-edge-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "VERSION").write_text(f"{version}\n")
    (folder / "ledger-revisions").write_text("\n".join(revisions(source)) + "\n")
    _copy(wheels(source, cache), folder / "wheels", "*.whl")
    _copy(cache / "own", folder / "wheels", "*.whl")
    _copy(packages(cache), folder / "packages", "*")
    tree = folder / "tree"
    for name in tracked(source):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target)
    guard(source / GUARD, (tree / GUARD).with_suffix(".so"))
    viewer = source / "build" / "viewer"
    if viewer.is_dir():
        shutil.copytree(viewer, tree / "viewer")
    for name in ("install.sh", "preflight.py"):
        shutil.copy(source / "appliance" / "bundle" / name, folder / name)
    inputs = ("--wheels", folder / "wheels", "--packages", folder / "packages")
    generator = source / "appliance" / "sbom.py"
    _run(sys.executable, str(generator), str(folder / "sbom.cdx.json"), *map(str, inputs))
    return folder


def tracked(source: Path) -> list[str]:
    """Return what goes to the site as it is, by its path in the source tree."""
    found = [path for name in CARRIED for path in (source / name).rglob("*") if path.is_file()]
    names = [str(path.relative_to(source)) for path in found]
    return sorted(one for one in (*names, *PAGES) if "__pycache__" not in one)


def guard(source: Path, library: Path) -> None:
    """Compile a library of the appliance; the site has no compiler."""
    compiler = shutil.which("g++")
    if not compiler:
        raise SystemExit("There is no C++ compiler: apt-get install g++ libc6-dev")
    _run(compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source))


def revisions(source: Path) -> list[str]:
    """Return every revision of the ledger that this version knows."""
    files = (source / "src" / "clic_edge" / "ledger" / "migrations" / "versions").glob("*.py")
    texts = [path.read_text(encoding="utf-8") for path in sorted(files)]
    return [
        one[1] for text in texts if (one := re.search(r'^revision = "(\w+)"', text, re.MULTILINE))
    ]


def seal(folder: Path, key_path: Path, *, at: int) -> None:
    """Write checksums over every file, their signature, and the key that it is checked with."""
    key = read_key(key_path)
    (folder / KEYRING).write_bytes(public_key(key, SIGNER))
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    sums = "".join(f"{_digest(folder / name)}  {name}\n" for name in names)
    (folder / SUMS).write_text(sums)
    (folder / SIGNATURE).write_bytes(signature(key, sums.encode(), at=at))


def pack(folder: Path, out: Path, key_path: Path, *, at: int) -> Path:
    """Return the archive; its signature and the key lie beside it. The same input, the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    archive = out / f"{folder.name}.tar"

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = at
        runs = member.isdir() or member.name.endswith(".sh")
        member.mode = 0o755 if runs else 0o644
        return member

    with tarfile.open(archive, "w") as tar:
        for path in [folder, *sorted(folder.rglob("*"))]:
            name = path.relative_to(folder.parent)
            tar.add(path, arcname=str(name), recursive=False, filter=plain)
    key = read_key(key_path)
    archive.with_name(f"{archive.name}.sig").write_bytes(
        signature(key, archive.read_bytes(), at=at)
    )
    (out / KEYRING).write_bytes(public_key(key, SIGNER))
    return archive


def _copy(source: Path, target: Path, pattern: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob(pattern):
        if path.is_file():
            os.link(path, target / path.name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def version_of(source: Path) -> str:
    """Return the version that a source tree says it is."""
    text = (source / "src" / "clic_edge" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "([^"]+)"', text)
    if not found:
        raise SystemExit(f"{source} says no version.")
    return found[1]


def main() -> None:
    """Build, and tell what takes the room."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", type=Path, help="Ed25519 key in PEM; `clic-edge models init-key`")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bundle")
    parser.add_argument("--source", type=Path, default=ROOT, help="source tree")
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    key = asked.key or asked.cache / "development.pem"
    if not asked.key and not key.exists():
        create_signing_key(key)
    at = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    folder = stage(asked.source, asked.cache, version=version_of(asked.source))
    seal(folder, key, at=at)
    archive = pack(folder, asked.out, key, at=at)
    print(f"{archive}: {archive.stat().st_size / 1e6:,.0f} MB; the largest in it:")
    files = sorted(folder.rglob("*"), key=lambda path: -path.stat().st_size)
    for path in files[:LARGEST]:
        print(f"  {path.stat().st_size / 1e6:6,.1f} MB  {path.relative_to(folder)}")
    print(f"The site is told, by another way: --trust {_digest(folder / KEYRING)}")
    shutil.rmtree(folder)
    if not asked.key:
        print("This is a development key. For a release: make bundle KEY=release.pem")


if __name__ == "__main__":
    main()
