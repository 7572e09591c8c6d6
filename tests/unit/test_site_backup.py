"""A site is backed up in two files, and comes of them on another machine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from clic_edge.backup.archive import Site, back_up_site
from clic_edge.backup.restoring import restore_site
from clic_edge.backup.sealing import seal, unseal
from clic_edge.config import load_settings
from clic_edge.deid.keys import create_key, load_key
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.backup import back_up
from clic_edge.ledger.cases import Admission, CaseStore
from clic_edge.ledger.database import migrate, open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.domain.case import Case

PASSPHRASE = "a long enough passphrase"  # noqa: S105 - of this test
SECRETS = {"secrets/worker/deid.key", "secrets/orthanc-password", "tls.key", "note"}
PLAIN = {"site.toml", "pipelines/readme.txt", "pages.pem"}
SETTINGS = """\
[appliance]
state_dir = "STATE"
deid_key = "secrets/worker/deid.key"
models = "STATE/models"
pipelines = "pipelines"
[orthanc]
username = "clic-edge"
password_file = "secrets/orthanc-password"
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A site without servers, and where its backup goes."""

    settings: Path
    state: Path
    out: Path
    keys: Path

    def back_up(self) -> None:
        """Write both files."""
        settings = load_settings(self.settings)
        engine = open_engine(settings.appliance.database)
        site = Site(
            settings_path=self.settings, settings=settings, copy_ledger=partial(back_up, engine)
        )
        back_up_site(site, self.out, keys=self.keys, passphrase=PASSPHRASE)
        engine.dispose()

    def cases(self) -> tuple[Case, ...]:
        """Return the cases in the ledger."""
        engine = open_engine(load_settings(self.settings).appliance.database)
        found = CaseStore(engine).all()
        engine.dispose()
        return found

    def lose(self) -> None:
        """Take the machine away."""
        shutil.rmtree(self.settings.parent)
        shutil.rmtree(self.state)

    def restore(self) -> None:
        """Make the site anew."""
        into = self.settings.parent
        restore_site(self.out, keys=self.keys, passphrase=PASSPHRASE, into=into)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    etc, state = tmp_path / "etc", tmp_path / "state"
    (etc / "secrets/worker").mkdir(parents=True)
    (etc / "pipelines").mkdir()
    (etc / "site.toml").write_text(SETTINGS.replace("STATE", str(state)))
    (etc / "pipelines/readme.txt").write_text("nothing secret")
    (etc / "pages.pem").write_text("-----BEGIN CERTIFICATE-----")
    (etc / "tls.key").write_text("-----BEGIN PRIVATE KEY-----")  # whoever may read it
    (etc / "note").write_text("for root only")
    (etc / "note").chmod(0o600)
    create_key(etc / "secrets/worker/deid.key")
    (etc / "secrets/orthanc-password").write_text("correct horse\n")
    (state / "models/one").mkdir(parents=True)
    (state / "models/one/model.toml").write_text("a model")
    engine = open_engine(load_settings(etc / "site.toml").appliance.database)
    migrate(engine)
    waiting = Admission(case_id="c" * 32, study_id="s", pipeline="p", series_ids=("one",))
    CaseStore(engine).admit(waiting)
    engine.dispose()
    out, keys = tmp_path / "site.backup", tmp_path / "site.keys"
    return Bench(settings=etc / "site.toml", state=state, out=out, keys=keys)


def unpacked(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    assert stream
    return stream.read()


def names_in(content: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return set(tar.getnames())


@pytest.mark.slow
def test_what_is_not_known_to_be_plain_is_sealed_and_no_secret_is_in_the_backup(
    bench: Bench,
) -> None:
    bench.back_up()
    own = {"manifest.json", "manifest.hmac", "ledger.backup", "models/one/model.toml"}
    assert names_in(bench.out.read_bytes()) == own | {f"settings/{one}" for one in PLAIN}
    assert {one.stat().st_mode & 0o777 for one in (bench.out, bench.keys)} == {0o600}
    key = load_key(bench.settings.parent / "secrets/worker/deid.key")
    for secret in (key.secret, b"correct horse", b"PRIVATE KEY", b"for root only"):
        assert secret not in bench.out.read_bytes() + bench.keys.read_bytes()
    key_id, sealed = unseal(bench.keys, PASSPHRASE)
    assert key_id == key.key_id
    assert names_in(sealed) == {f"settings/{one}" for one in SECRETS} | {"backup.key"}


@pytest.mark.slow
def test_a_site_comes_of_its_backup_with_the_same_key_and_the_same_cases(bench: Bench) -> None:
    key = load_key(bench.settings.parent / "secrets/worker/deid.key")
    before = bench.cases()
    bench.back_up()
    bench.lose()
    bench.restore()
    assert load_key(load_settings(bench.settings).appliance.deid_key) == key
    assert len(before) == 1
    assert bench.cases() == before
    assert (bench.state / "models/one/model.toml").read_text() == "a model"
    its_owners = (bench.settings.parent / "note", bench.state / "clic-edge.sqlite")
    assert {one.stat().st_mode & 0o777 for one in its_owners} == {0o600}


@pytest.mark.slow
def test_a_site_that_is_there_is_not_written_over(bench: Bench) -> None:
    bench.back_up()
    with pytest.raises(ConfigError, match="site-there"):
        bench.restore()
    shutil.rmtree(bench.settings.parent)
    with pytest.raises(ConfigError, match="ledger-there"):
        bench.restore()
    assert not bench.settings.exists()


@pytest.mark.slow
def test_a_backup_with_a_changed_byte_restores_nothing(bench: Bench) -> None:
    bench.back_up()
    bench.lose()
    content = bench.out.read_bytes()
    bench.out.write_bytes(content.replace(b"a model", b"a modem"))
    with pytest.raises(Defect, match=re.escape("models/one/model.toml in")):
        bench.restore()
    bench.out.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="no-backup"):
        bench.restore()
    assert not bench.settings.exists()
    assert not bench.state.exists()


@pytest.mark.slow
def test_a_backup_that_somebody_else_wrote_restores_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.back_up()
    bench.lose()
    elsewhere = tmp_path / "elsewhere"
    with tarfile.open(bench.out) as tar:
        members = {one.name: unpacked(tar, one) for one in tar}
    named = json.loads(members["manifest.json"])
    members["models/one/model.toml"] = b"another model"
    named["digests"]["models/one/model.toml"] = hashlib.sha256(b"another model").hexdigest()
    members["manifest.json"] = json.dumps(named | {"models": str(elsewhere)}).encode()
    with tarfile.open(bench.out, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(Defect, match="backup-changed"):
        bench.restore()
    assert not elsewhere.exists()
    assert not bench.settings.exists()
    assert not bench.state.exists()


@pytest.mark.slow
def test_keys_of_another_site_are_not_taken(bench: Bench, tmp_path: Path) -> None:
    bench.back_up()
    bench.lose()
    _, sealed = unseal(bench.keys, PASSPHRASE)
    other = tmp_path / "other.keys"
    other.write_bytes(seal(sealed, PASSPHRASE, key_id="0" * 16))
    with pytest.raises(ConfigError, match="keys-of-another-site"):
        restore_site(bench.out, keys=other, passphrase=PASSPHRASE, into=bench.settings.parent)


@pytest.mark.slow
def test_sealed_keys_open_with_their_passphrase_only_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(seal(b"content", PASSPHRASE, key_id="0" * 16))
    with pytest.raises(ConfigError, match="passphrase-wrong"):
        unseal(path, PASSPHRASE.upper())
    path.write_bytes(path.read_bytes().replace(b'"0', b'"1'))
    with pytest.raises(ConfigError, match="passphrase-wrong"):
        unseal(path, PASSPHRASE)
    path.write_bytes(b"{}\nx")
    with pytest.raises(ConfigError, match="no-keys"):
        unseal(path, PASSPHRASE)
    with pytest.raises(ConfigError, match="passphrase-short"):
        seal(b"content", "too short", key_id="0" * 16)
