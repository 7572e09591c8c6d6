"""The containers run what the units run, as the same users, and no less confined."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from source import ROOT

CONTAINER = ROOT / "appliance" / "container"
UNITS = ROOT / "appliance" / "systemd"
COMPOSE = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
PROCESSES = ("orthanc", "worker", "web")


def unit(name: str, key: str) -> list[str]:
    text = (UNITS / f"clic-edge-{name}.service").read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_container_runs_what_its_unit_runs_as_the_same_user(name: str) -> None:
    service, (line,) = COMPOSE[name], unit(name, "ExecStart")
    program, *words = line.split()
    assert service["command"] == [Path(program).name, *words]
    assert service["user"] == f"{unit(name, 'User')[0]}:{unit(name, 'Group')[0]}"
    said = dict(one.partition("=")[::2] for one in unit(name, "Environment"))
    told = {key: value for key, value in said.items() if key != "MPLCONFIGDIR"}
    assert service.get("environment", {}) == told
    assert unit(name, "UMask") == ["0007"]
    assert "umask 0007" in (CONTAINER / "start.sh").read_text()


@pytest.mark.parametrize("name", [*PROCESSES, "box"])
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = COMPOSE[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_two_ports_are_published_and_all_else_stays_on_the_loopback_of_the_box() -> None:
    assert COMPOSE["box"]["ports"] == ["4242:4242", "8043:8043"]
    for name in PROCESSES:
        assert COMPOSE[name]["network_mode"] == "service:box"
        assert "ports" not in COMPOSE[name]


def test_the_image_is_made_by_the_signed_bundle_and_by_nothing_else() -> None:
    lines = (CONTAINER / "Containerfile").read_text()
    (run,) = re.findall(r"^RUN (.*)$", lines, re.MULTILINE)
    assert run.endswith('/bundle/install.sh --image --trust "${TRUST}"')
    assert not re.search(r"^(COPY|ADD)\b", lines, re.MULTILINE)
