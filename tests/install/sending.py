"""A study goes to a site on a host of its own, and what comes of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from servers import wait_for

if TYPE_CHECKING:
    from install.bare import Host

ALLOW = "clic-edge senders allow MODALITY 127.0.0.1 --name scanner --why tested --by tester"
_ASK = "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:8142{}\").read().decode())'"


def start_pacs(host: Host) -> None:
    """Start a PACS on the host, and return when it answers."""
    host.done("systemd-run --quiet --unit pacs Orthanc /shared/pacs.json")
    wait_for(lambda: host.run(_ASK.format("/system")).returncode == 0, "the PACS answers")


def hurry(host: Host) -> None:
    """Let nobody wait a minute for more images, from the services' next start on."""
    host.done("echo CLIC_EDGE_ORTHANC_STABLE_AGE=2 > /etc/clic-edge/orthanc.env")
    host.done("sed -i 's/^quiet_seconds.*/quiet_seconds = 1/' /etc/clic-edge/pipelines/*.toml")


def send(host: Host, study: str) -> None:
    """Send a study to the appliance by C-STORE."""
    await_orthanc(host)
    wait_for(lambda: host.run(ALLOW).returncode == 0, "the sender is allowed")
    store(host, study)


def await_orthanc(host: Host) -> None:
    """Return when the appliance answers a C-ECHO."""
    wait_for(lambda: host.run("echoscu 127.0.0.1 4242").returncode == 0, "Orthanc answers")


def store(host: Host, study: str) -> None:
    """Send a study to an appliance that answers and knows the sender, or asks for none."""
    host.done(f"storescu -aet MODALITY -aec CLICEDGE 127.0.0.1 4242 +sd /shared/{study}")


def cases(host: Host) -> list[list[str]]:
    """Return what the command line prints of each case, newest last: its id, pipeline, state …"""
    listed = host.run("clic-edge cases list").stdout.splitlines()
    return [line.split() for line in listed if re.match(r"[0-9a-f]{32} ", line)]


def states(host: Host) -> list[str]:
    """Return the state of each case, newest last."""
    return [case[2] for case in cases(host)]


def await_states(host: Host, *expected: str) -> None:
    """Return when the cases are in these states."""
    wait_for(lambda: sorted(states(host)) == sorted(expected), f"cases are {expected}", 900)


def objects_in_pacs(host: Host) -> list[str]:
    """Return the SOP Instance UID of each object that the PACS holds, sorted."""
    found = json.loads(host.done(_ASK.format("/instances?expand")))
    return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)
