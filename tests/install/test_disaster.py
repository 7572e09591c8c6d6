"""`docs/how-to/disaster.md`, followed to the letter: one machine is lost, another goes on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from install.bare import booted
from install.bundles import ROOT
from install.sending import await_states, objects_in_pacs, send, start_pacs, states
from servers import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from install.bare import Host
    from install.bundles import Bundle

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]
PAGE = ROOT / "docs" / "how-to" / "disaster.md"


def steps() -> list[str]:
    """Return the blocks of the page that a person types, `sudo` left out: root types them here."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        re.sub(r"\bsudo ", "", block)
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def shelves(host: Host) -> None:
    """Let a host see what lies off the machine: backups, and apart from them the keys."""
    host.done("mkdir -p /shared/backup /shared/keys")
    host.done("ln -s /shared/backup /backup; ln -s /shared/keys /backup-keys")


def test_a_lost_machine_goes_on_on_another_as_the_page_says(
    site: Host, bare: tuple[Path, ...], bundle: Bundle, shared: Path
) -> None:
    passphrase, night, anew, look = steps()
    shelves(site)
    start_pacs(site)
    send(site, "study1")
    await_states(site, "delivered")
    objects = objects_in_pacs(site)
    site.done("systemctl stop pacs")
    send(site, "study2")
    await_states(site, "delivered", "waiting")
    key = site.done("clic-edge deid public-key")
    site.done(passphrase)
    site.done(night)
    kept = site.path("/root/passphrase").read_text()
    site.done("systemctl stop clic-edge.target clic-edge-worker clic-edge-web clic-edge-orthanc")
    (shared / "backup" / bundle.archive.name).hardlink_to(bundle.archive)

    with booted(bare[1:], shared) as other:
        shelves(other)
        other.path("/root/passphrase").write_text(kept)
        ended = other.run(anew.replace("DIGEST", bundle.trust))
        assert "is installed" in ended.stdout, ended.stdout + ended.stderr
        assert other.done("clic-edge deid public-key") == key
        other.done(look)
        await_states(other, "delivered", "refused")  # its study is gone
        other.done("echo CLIC_EDGE_ORTHANC_STABLE_AGE=2 > /etc/clic-edge/orthanc.env")
        other.done("systemctl restart clic-edge-orthanc")
        start_pacs(other)
        send(other, "study1")
        send(other, "study2")
        await_states(other, "delivered", "delivered")
        wait_for(lambda: len(objects_in_pacs(other)) == len(objects), "the second is delivered")
        assert set(objects_in_pacs(other)).isdisjoint(objects)  # of the first nothing came again
        assert states(other) == ["delivered", "delivered"]
