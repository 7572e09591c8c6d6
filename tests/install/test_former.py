"""A site of a former version, with cases in every state of being under way, becomes one of this."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from install.bare import booted
from install.bundles import FORMER
from install.sending import (
    await_orthanc,
    await_states,
    cases,
    hurry,
    objects_in_pacs,
    start_pacs,
    states,
    store,
)
from servers import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from install.bare import Host
    from install.bundles import Bundle

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]
SILENT_PACS = (
    "systemd-run --quiet --unit silent python3 -c "
    "'import socket, time; held = socket.create_server((\"127.0.0.1\", 11112)); time.sleep(9999)'"
)
"""It takes connections and says nothing."""
STAY_DEAD = (
    "d=/run/systemd/system/clic-edge-worker.service.d; mkdir -p $d; "
    "printf '[Service]\\nRestart=no\\n' > $d/stay.conf; systemctl daemon-reload; "
    "systemctl kill --signal=KILL clic-edge-worker; rm -r $d"
)


def test_cases_of_a_former_line_end_once_under_this_version_and_again_after_the_way_back(
    bare: tuple[Path, ...], bundle: Bundle, former: Bundle, shared: Path
) -> None:
    (shared / former.archive.name).hardlink_to(former.archive)
    with booted(bare, shared) as host:
        install(host, former)
        leave_cases(host)

        host.done("systemctl stop silent")
        start_pacs(host)
        upgraded = host.run(f"{bundle.name}/install.sh")
        assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
        await_states(host, "delivered", "delivered", "delivered")
        objects = objects_in_pacs(host)
        assert len(objects) == 9  # SEG, SR and the root of each case
        assert [ends(host, case[0]) for case in cases(host)] == [1, 1, 1]

        back = host.run("clic-edge-setup --rollback")
        assert back.returncode == 0, back.stdout + back.stderr
        assert "The ledger is that of /var/lib/clic-edge/backups/before-" in back.stdout
        assert FORMER in host.done("readlink /opt/clic-edge/current")
        await_states(host, "delivered", "delivered", "delivered")
        assert [ends(host, case[0]) for case in cases(host)] == [1, 1, 1]
        more = set(objects_in_pacs(host)) - set(objects)
        assert len(more) == 3, "what the newer version had written, as the former writes it"


def install(host: Host, former: Bundle) -> None:
    """Make a site of the former version, whose PACS is not there."""
    host.done(f"tar -xf /shared/{former.archive.name}")
    ended = host.run(f"{former.name}/install.sh --trust {former.trust} --pacs PACS@127.0.0.1:11112")
    assert "is installed, and the site is not ready" in ended.stdout, ended.stdout + ended.stderr
    hurry(host)
    host.done("echo timeout_s = 9000 >> /etc/clic-edge/clic-edge.toml")  # of the destination
    host.done("systemctl restart clic-edge-orthanc clic-edge-worker")
    await_orthanc(host)


def leave_cases(host: Host) -> None:
    """Leave one case that was tried before, one whose worker died over it, one that nobody began."""
    store(host, "study1")
    await_states(host, "waiting")  # there is no PACS
    host.done(SILENT_PACS)
    store(host, "study2")
    wait_for(lambda: states(host)[1:] == ["running"], "the PACS is silent", 300)
    host.done(STAY_DEAD)
    store(host, "study3")
    wait_for(lambda: states(host)[1:] == ["running", "received"], "nobody begins it", 300)


def ends(host: Host, case_id: str) -> int:
    """Return how often a case came to its end."""
    told = json.loads(host.done(f"clic-edge cases show {case_id} --json"))
    return sum(event["action"] == "delivered" for event in told["audit"])
