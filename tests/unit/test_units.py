"""What systemd is told of the processes: who they are, and how little they may."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "appliance" / "systemd"
SERVICES = sorted(SYSTEMD.glob("*.service"))
LOWEST_SAFETY = 2.0
"""Of `systemd-analyze security`: 0 is a process that can do nothing, 10 one that root runs."""


def values(unit: Path, key: str) -> list[str]:
    """Return what a unit says under a key, each time that it does."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def exposure(*units: Path) -> float:
    """Return how exposed systemd holds a service to be."""
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    told = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", *map(str, units)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert found, told
    return float(found[1])


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_a_service_is_held_as_little_exposed_as_two(unit: Path) -> None:
    assert exposure(unit) <= LOWEST_SAFETY


def test_a_worker_with_a_gpu_is_too(tmp_path: Path) -> None:
    plain = (SYSTEMD / "clic-edge-worker.service").read_text(encoding="utf-8")
    gpu = SYSTEMD / "optional" / "clic-edge-worker.service.d" / "40-gpu.conf"
    whole = tmp_path / "clic-edge-worker.service"
    added = gpu.read_text(encoding="utf-8").partition("[Service]\n")[2]
    whole.write_text(
        plain.replace("[Service]\n", f"[Service]\n{added}", 1).replace("PrivateDevices=yes\n", ""),
        encoding="utf-8",
    )
    assert exposure(whole) <= LOWEST_SAFETY


def test_each_process_is_somebody_of_its_own_who_is_made_beforehand() -> None:
    helping = ("backup", "firewall")
    users = [values(unit, "User") for unit in SERVICES if not unit.stem.endswith(helping)]
    assert sorted(users) == [["clic-edge-orthanc"], ["clic-edge-web"], ["clic-edge-worker"]]
    made = (SYSTEMD / "sysusers.d" / "clic-edge.conf").read_text(encoding="utf-8")
    assert all(f"\nu {user} " in made for (user,) in users)


def test_whom_a_page_runs_a_command_as_is_a_user_that_is_made(root: Path) -> None:
    made = (SYSTEMD / "sysusers.d" / "clic-edge.conf").read_text(encoding="utf-8")
    pages = [path.read_text(encoding="utf-8") for path in (root / "docs").rglob("*.md")]
    named = {user for page in pages for user in re.findall(r"sudo -u (\S+)", page)}
    assert named
    assert all(f"\nu {user} " in made for user in named), named


def test_whatever_a_service_writes_is_a_folder_that_is_made_for_it() -> None:
    lines = (SYSTEMD / "tmpfiles.d" / "clic-edge.conf").read_text(encoding="utf-8").splitlines()
    made = {line.split()[1] for line in lines if line.startswith("d ")}
    for unit in SERVICES:
        named = " ".join(values(unit, "ReadWritePaths") + values(unit, "InaccessiblePaths"))
        assert {path.lstrip("-") for path in named.split()} <= made


def test_no_process_sees_another_ones_secrets() -> None:
    for one in ("orthanc", "worker", "web"):
        hidden = " ".join(values(SYSTEMD / f"clic-edge-{one}.service", "InaccessiblePaths"))
        others = {"orthanc", "worker", "web"} - {one}
        assert all(f"/etc/clic-edge/secrets/{other}" in hidden for other in others)


def test_the_worker_reaches_no_network_unless_its_site_says_so() -> None:
    worker = SYSTEMD / "clic-edge-worker.service"
    assert values(worker, "IPAddressDeny") == ["any"]
    assert values(worker, "IPAddressAllow") == ["localhost"]
