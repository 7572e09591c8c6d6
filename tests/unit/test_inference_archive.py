"""An archive comes from a stranger, and is unpacked before anyone has looked at its signature."""

from __future__ import annotations

import contextlib
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.errors import ConfigError
from clic_edge.inference import archive
from clic_edge.inference.archive import opened

if TYPE_CHECKING:
    from pathlib import Path


def archive_of(path: Path, *entries: tuple[str, bytes], compression: int) -> Path:
    """Return an archive that claims to be a package's, with some entries more."""
    with zipfile.ZipFile(path, "w", compression) as written:
        for name, content in (("model.toml", b"x"), ("digests.json", b"{}"), *entries):
            written.writestr(name, content)
    return path


def refused(archive: Path) -> str:
    """Return the code with which an archive is not opened."""
    with pytest.raises(ConfigError) as error, opened(archive):
        pass
    return error.value.code


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = [(f"test/{number}", bytes(1_000_000)) for number in range(5)]
    bomb = archive_of(tmp_path / "bomb.clic", *zeros, compression=zipfile.ZIP_DEFLATED)
    assert refused(bomb) == "archive-too-large"
    many = [(f"test/{number}", b"") for number in range(archive.MOST_FILES)]
    crowd = archive_of(tmp_path / "crowd.clic", *many, compression=zipfile.ZIP_STORED)
    assert refused(crowd) == "archive-too-large"
    plain = archive_of(tmp_path / "plain.clic", *zeros, compression=zipfile.ZIP_STORED)
    with opened(plain) as folder:
        assert len(list(folder.rglob("*"))) == 8
    monkeypatch.setattr(archive, "LARGEST_PACKAGE", 4_999_999)
    assert refused(plain) == "archive-too-large"


def test_an_archive_that_lies_about_its_sizes_writes_no_more_than_it_claims(
    tmp_path: Path,
) -> None:
    entry = ("test/zeros", bytes(1_000_000))
    liar = archive_of(tmp_path / "liar.clic", entry, compression=zipfile.ZIP_DEFLATED)
    size = (1_000_000).to_bytes(4, "little")
    content = liar.read_bytes()
    assert content.count(size) == 2, "in the entry and in the directory"
    liar.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    assert refused(liar) == "archive-unreadable"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_decompressed_without_bound_is_not_unpacked(
    tmp_path: Path, compression: int
) -> None:
    assert refused(archive_of(tmp_path / "x.clic", compression=compression)) == "archive-unreadable"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_two_files_of_one_name_is_not_unpacked(tmp_path: Path) -> None:
    twice = archive_of(
        tmp_path / "twice.clic", ("model.toml", b"y"), compression=zipfile.ZIP_STORED
    )
    assert refused(twice) == "archive-unreadable"


@pytest.mark.parametrize("name", ["?", ".", "test/", "model.toml/x"])
def test_an_archive_with_a_name_that_is_no_files_is_not_unpacked(tmp_path: Path, name: str) -> None:
    odd = archive_of(tmp_path / "odd.clic", (name, b"y"), compression=zipfile.ZIP_STORED)
    odd.write_bytes(odd.read_bytes().replace(b"?", b"\0"))  # which ends a name: it is empty
    assert refused(odd) == "archive-unreadable"


@settings(deadline=None, max_examples=100)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_an_archive_with_another_byte_opens_or_is_named(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    numbers = ("test/numbers", bytes(range(256)) * 4)
    changed = archive_of(folder / "x.clic", numbers, compression=zipfile.ZIP_DEFLATED)
    content = bytearray(changed.read_bytes())
    content[at % len(content)] = byte
    changed.write_bytes(content)
    with contextlib.suppress(ConfigError), opened(changed) as unpacked:
        assert (unpacked / "model.toml").is_file()
