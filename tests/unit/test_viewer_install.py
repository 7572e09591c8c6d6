"""The viewer's archive: checked, unpacked, and made to load everything from the box."""

from __future__ import annotations

import binascii
import hashlib
import http.server
import io
import re
import tarfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.errors import ConfigError, Transient
from clic_edge.web import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = """<!doctype html><html><head><meta name="icon" content="/assets/a.png"/>
<script>console.time('x');
      window.PUBLIC_URL = '/';</script><link rel="manifest" href="/manifest.json"/>
<script rel="preload" as="script" src="/app-config.js"></script>
<script rel="preload" as="script" type="module" src="/init-service-worker.js"></script>
<script>function browserImportFunction(moduleId) {}</script>
<script defer="defer" src="/app.bundle.js"></script></head><body><div id="root"></div></body></html>
"""
FILES = {
    "dist/index.html": PAGE.encode(),
    "dist/app.bundle.js": b'start(); __webpack_require__.p = "/"; go()',
    "dist/app.bundle.css": b"@font-face { src: url(/font.woff2) } a { b: url(data:x) }",
    "dist/assets/a.png": b"png",
    "dist/sw.js": b"importScripts('https://elsewhere')",
    "dist/init-service-worker.js": b"importScripts('https://elsewhere')",
    "dist/google.js": b"",
    "dist/silent-refresh.html": b"",
    "src/index.js": b"source",
}


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return a small archive, which is now the one that is known."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    made = buffer.getvalue()
    digest = binascii.b2a_base64(hashlib.sha512(made).digest(), newline=False).decode()
    monkeypatch.setattr(install, "INTEGRITY", f"sha512-{digest}")
    return made


def test_only_what_the_browser_needs_is_unpacked(archive: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "build" / "viewer"
    install.install(archive, folder)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".version",
        "index.html",
        "app.bundle.js",
        "app.bundle.css",
        "assets/a.png",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["viewer"]


def test_everything_is_loaded_from_below_viewer_and_no_script_stands_in_the_page(
    archive: bytes, tmp_path: Path
) -> None:
    install.install(archive, tmp_path / "viewer")
    page = (tmp_path / "viewer" / "index.html").read_text()
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert scripts == ["", "", ""]
    sources = re.findall(r'(?:src|href|content)="([^"]*)"', page)
    assert sources == [
        "/viewer/boot.js",
        "/viewer/assets/a.png",
        "/viewer/manifest.json",
        "/viewer/app-config.js",
        "/viewer/app.bundle.js",
    ]
    script = (tmp_path / "viewer" / "app.bundle.js").read_text()
    assert script == 'start(); __webpack_require__.p = "/viewer/"; go()'
    style = (tmp_path / "viewer" / "app.bundle.css").read_text()
    assert style == "@font-face { src: url(/viewer/font.woff2) } a { b: url(data:x) }"


def test_an_archive_with_one_other_byte_is_not_taken(archive: bytes, tmp_path: Path) -> None:
    install.install(archive, tmp_path / "viewer")
    with pytest.raises(ConfigError, match="wrong-viewer"):
        install.install(archive[:-1] + b"!", tmp_path / "viewer")
    assert install.is_installed(tmp_path / "viewer"), "what was there stays"


def test_another_version_takes_the_place_of_the_one_before(archive: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / ".version").write_text("3.0.0")
    (folder / "index.html").write_text("old")
    (folder / "old.js").write_text("old")
    assert not install.is_installed(folder)
    install.install(archive, folder)
    assert install.is_installed(folder)
    assert not (folder / "old.js").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["viewer"]


@pytest.mark.parametrize("names", [("deid.key", "ledger.sqlite"), (".version",), ("index.html",)])
def test_a_folder_that_is_no_viewer_is_left_as_it_is(
    archive: bytes, tmp_path: Path, names: tuple[str, ...]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for name in names:
        (state / name).write_text("precious")
    with pytest.raises(ConfigError, match=r"state holds something .*\[viewer-not-ours\]"):
        install.install(archive, state)
    assert {path.name: path.read_text() for path in state.iterdir()} == dict.fromkeys(
        names, "precious"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_an_empty_folder_is_filled(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "viewer").mkdir()
    install.install(archive, tmp_path / "viewer")
    assert install.is_installed(tmp_path / "viewer")


def test_a_folder_that_cannot_be_made_is_named(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"file/viewer: .*\[viewer-unwritable\]"):
        install.install(archive, tmp_path / "file" / "viewer")


@contextmanager
def registry(content: bytes | None) -> Iterator[str]:
    """Serve one file as a registry would, or nothing but 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = content is not None and self.path == f"/{install.ARCHIVE}"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write((content or b"") if found else b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_the_command_fetches_once_and_then_leaves_what_is_there(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text('[web]\nviewer = "viewer"\n')
    words = ["-c", str(settings), "viewer", "install"]
    with registry(archive) as url:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
        assert CliRunner().invoke(app, words).exit_code == 0
    assert install.is_installed(tmp_path / "viewer")
    # The registry is gone now.
    assert CliRunner().invoke(app, words).exit_code == 0


@pytest.mark.slow
def test_a_site_without_internet_is_told_which_file_to_bring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with registry(None) as url:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
        with pytest.raises(Transient, match=r"bring .*app-3\.12\.10\.tgz.*--archive.*VIEWER_TGZ"):
            install.fetch()
    with pytest.raises(Transient, match="does not answer"):
        install.fetch()


def test_the_command_takes_a_file_that_was_brought(archive: bytes, tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text('[web]\nviewer = "viewer"\n')
    words = ["-c", str(settings), "viewer", "install", "--archive"]
    absent = CliRunner().invoke(app, [*words, str(tmp_path / "none.tgz")])
    assert isinstance(absent.exception, ConfigError)
    (tmp_path / "app.tgz").write_bytes(archive)
    assert CliRunner().invoke(app, [*words, str(tmp_path / "app.tgz")]).exit_code == 0
    assert install.is_installed(tmp_path / "viewer")
