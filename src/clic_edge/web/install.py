"""The viewer's files: OHIF as npm carries it, checked, unpacked, and made to load nothing else."""

import binascii
import hashlib
import io
import os
import re
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import httpx

from clic_edge.errors import ConfigError, Transient

VERSION: Final = "3.12.10"
INTEGRITY: Final = "sha512-0kuF66Mq9c9dMD++bUsTjMrJpXJwaZhz9B4uS244DawAjSkTwIYFU93pxPuRUQixaRi7QAHlF3Fe1qudBlZrmA=="
"""As the registry states it for `@ohif/app` at `VERSION`."""
REGISTRY: Final = "https://registry.npmjs.org"
ARCHIVE: Final = f"@ohif/app/-/app-{VERSION}.tgz"
_DIST = "package/dist/"
_ROOTS: Final = {"*.js": b'__webpack_require__.p = "/"', "*.css": b"url(/"}
_STAMP = ".version"
_STAMPED = f"{VERSION} 1"
"""Version, and how often we changed what is done to it."""
_SECONDS = 300.0
# Workers of the browser that fetch their code from elsewhere, and a log-in that we don't have.
_LEFT_OUT = ("sw.js", "init-service-worker.js", "google.js", "silent-refresh.html")


def is_installed(folder: Path) -> bool:
    """Return whether the folder holds this version's files."""
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _STAMPED


def fetch() -> bytes:
    """Return the archive from the registry that npm uses here.

    Raises Transient ``viewer-not-fetched``, also where there is no network.
    """
    registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
    try:
        answer = httpx.get(f"{registry}/{ARCHIVE}", timeout=_SECONDS, follow_redirects=True)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Transient(
            "viewer-not-fetched",
            f"{registry} does not answer ({type(error).__name__}). Without internet, bring the "
            f"file {REGISTRY}/{ARCHIVE} and name it with --archive, or VIEWER_TGZ=FILE of make.",
        ) from error
    return answer.content


def install(archive: bytes, folder: Path) -> None:
    """Put the viewer into a folder, in place of an earlier one.

    Raises ConfigError ``wrong-viewer`` when the archive is not, byte for byte, the one we know;
    ``viewer-not-ours`` when the folder holds something else, which is left alone; and
    ``viewer-unwritable`` when the folder can't be made.
    """
    algorithm, _, expected = INTEGRITY.partition("-")
    if hashlib.new(algorithm, archive).digest() != binascii.a2b_base64(expected):
        raise ConfigError("wrong-viewer", f"The archive is not @ohif/app {VERSION} as npm has it.")
    try:
        _put(archive, folder)
    except OSError as error:
        raise ConfigError("viewer-unwritable", f"{folder}: {error.strerror}.") from error


def _put(archive: bytes, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not _is_ours(folder):
        raise ConfigError(
            "viewer-not-ours",
            f"{folder} holds something that is no viewer of ours; it is left as it is. Name "
            "another folder as `web.viewer`.",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".viewer-") as temporary:
        made = Path(temporary) / "viewer"
        _unpack(archive, made)
        for name in _LEFT_OUT:
            (made / name).unlink()
        _rewrite(made)
        (made / _STAMP).write_text(_STAMPED, encoding="utf-8")
        if folder.exists():
            folder.rename(Path(temporary) / "before")
        made.rename(folder)


def _is_ours(folder: Path) -> bool:
    """Return whether `_put` made the folder, in this version or in another."""
    stamp, page = folder / _STAMP, folder / "index.html"
    return stamp.is_file() and page.is_file()


def _rewrite(folder: Path) -> None:
    """Let every file load what it needs from below `/viewer/`."""
    index = folder / "index.html"
    index.write_text(rewritten_page(index.read_text(encoding="utf-8")), encoding="utf-8")
    for pattern, root in _ROOTS.items():
        for file in folder.glob(pattern):
            content = file.read_bytes()
            file.write_bytes(content.replace(root, root.replace(b"/", b"/viewer/")))


def rewritten_page(index: str) -> str:
    """Return OHIF's page for `/viewer/`, without scripts in the page and without service worker."""
    boot = '<script src="/viewer/boot.js"></script>'
    index = re.sub(r"<script[^>]*init-service-worker.js[^>]*></script>", "", index)
    index = re.sub(r"<script>.*?</script>", "", index, flags=re.DOTALL)
    index = re.sub(r'\b(src|href|content)="/', r'\1="/viewer/', index)
    return index.replace("<head>", f"<head>{boot}", 1)


def _unpack(archive: bytes, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            if member.name.startswith(_DIST) and member.isfile():
                member.name = member.name.removeprefix(_DIST)
                member.mode = 0o644
                tar.extract(member, folder, filter="data")
