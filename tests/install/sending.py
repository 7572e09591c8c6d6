"""A study goes to a site on a host of its own, and what comes of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from servers import wait_for

if TYPE_CHECKING:
    from install.bare import Host

_ASK = "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:8142{}\").read().decode())'"


def start_pacs(host: Host) -> None:
    """Start a PACS on the host, and return when it answers."""
    host.done("systemd-run --quiet --unit pacs Orthanc /shared/pacs.json")
    wait_for(lambda: host.run(_ASK.format("/system")).returncode == 0, "the PACS answers")


def send(host: Host, study: str) -> None:
    """Send a study to the appliance by C-STORE."""
    wait_for(lambda: host.run("echoscu 127.0.0.1 4242").returncode == 0, "Orthanc answers")
    allow = "clic-edge senders allow MODALITY 127.0.0.1 --name scanner --why tested --by tester"
    wait_for(lambda: host.run(allow).returncode == 0, "the sender is allowed")
    host.done(f"storescu -aet MODALITY -aec CLICEDGE 127.0.0.1 4242 +sd /shared/{study}")


def states(host: Host) -> list[str]:
    """Return the state of each case, as the command line prints it."""
    listed = host.run("clic-edge cases list").stdout.splitlines()
    return [line.split()[2] for line in listed if re.match(r"[0-9a-f]{32} ", line)]


def await_states(host: Host, *expected: str) -> None:
    """Return when the cases are in these states."""
    wait_for(lambda: sorted(states(host)) == sorted(expected), f"cases are {expected}", 900)


def objects_in_pacs(host: Host) -> list[str]:
    """Return the SOP Instance UID of each object that the PACS holds, sorted."""
    found = json.loads(host.done(_ASK.format("/instances?expand")))
    return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)
