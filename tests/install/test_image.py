"""The image of the containers is built without a network, and its processes run as compose says."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml
from install.bare import bare_root
from install.bundles import ROOT
from install.sending import ALLOW
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from install.bundles import Bundle

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]
COMPOSE = yaml.safe_load((ROOT / "appliance" / "container" / "compose.yaml").read_text())
BASE = "docker.io/library/debian:12-slim"


@dataclass(frozen=True, kw_only=True)
class Box:
    """One working container, its volumes, and a network that leads nowhere."""

    buildah: tuple[str, ...]
    container: str
    folder: Path
    network: int
    """Process whose network it is."""

    def command(self, line: list[str], *, user: str, environment: dict[str, str]) -> list[str]:
        """Return the words that run a line in the container, below the image's entry point."""
        inside = ("nsenter", "-t", str(self.network), "-n")
        volumes = [
            word
            for name, place in (("site", "/etc/clic-edge"), ("state", "/var/lib/clic-edge"))
            for word in ("--volume", f"{self.folder / name}:{place}")
        ]
        told = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
        start = "/opt/clic-edge/current/appliance/container/start.sh"
        run = ("run", "--isolation", "chroot", "--user", user, *volumes, *told, self.container)
        return [*inside, *self.buildah, *run, "--", start, *line]

    def done(self, line: str, *, user: str = "clic-edge-worker:clic-edge") -> str:
        """Return what a line that succeeds prints in the container."""
        words = self.command(["sh", "-c", line], user=user, environment={})
        ended = subprocess.run(words, check=False, capture_output=True, text=True, timeout=600)
        assert ended.returncode == 0, (line, ended.stdout[-3000:], ended.stderr[-3000:])
        return ended.stdout

    @contextmanager
    def service(self, name: str, **environment: str) -> Iterator[None]:
        """Run a service of compose as compose says."""
        told = COMPOSE["services"][name]
        words = self.command(
            told["command"],
            user=told["user"],
            environment=told.get("environment", {}) | environment,
        )
        process = subprocess.Popen(words, start_new_session=True)
        try:
            yield
        finally:
            subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
            process.wait()


@pytest.fixture(scope="module")
def box(folder: Path, bundle: Bundle) -> Iterator[Box]:
    """Return a container of the image, which was built out of the bundle where no network is."""
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed")
    places = ("--root", str(folder / "images"), "--runroot", str(folder / "images-run"))
    buildah = ("buildah", *places, "--storage-driver", "vfs")

    def asked(*words: str, cwd: Path = ROOT) -> str:
        ended = subprocess.run(
            ["unshare", "--net", *buildah, *words],
            cwd=cwd,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, (words, ended.stdout[-3000:], ended.stderr[-3000:])
        return ended.stdout.strip()

    base = asked("from", "scratch")
    asked("add", base, str(bare_root()), "/")
    asked("commit", "--quiet", base, BASE)
    context = folder / "context"
    context.mkdir()
    subprocess.run(["tar", "-xf", str(bundle.archive), "-C", str(context)], check=True)
    asked(
        *("build", "--isolation", "chroot", "--pull=never", "--tag", "clic-edge"),
        *("--file", "tree/appliance/container/Containerfile"),
        *("--build-arg", f"TRUST={bundle.trust}", "."),
        cwd=context / bundle.name,
    )
    container = asked("from", "--pull=never", "clic-edge")
    for name in ("site", "state"):
        (folder / name).mkdir()
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up; exec sleep infinity"]
    )
    try:
        yield Box(buildah=buildah, container=container, folder=folder, network=holder.pid)
    finally:
        holder.kill()
        holder.wait()
        subprocess.run([*buildah, "rm", "--all"], check=False, capture_output=True)
        for name in ("images", "images-run", "context"):  # they are large
            shutil.rmtree(folder / name, ignore_errors=True)


def test_the_image_holds_nothing_of_a_site(box: Box) -> None:
    mounted = subprocess.run(
        [*box.buildah, "mount", box.container], check=True, capture_output=True, text=True
    ).stdout.strip()
    for place in ("etc/clic-edge", "var/lib/clic-edge"):
        assert not any((box.folder / mounted / place).iterdir()), place


def test_a_site_is_made_once_and_its_services_take_a_study_and_deliver(
    box: Box, shared: Path
) -> None:
    setup = COMPOSE["services"]["setup"]
    line = shlex.join(setup["command"]).replace("$$", "$")
    box.done(f"PACS=PACS@127.0.0.1:11112; export PACS; {line}", user="root")
    box.done(
        "sed -i 's/^quiet_seconds.*/quiet_seconds = 1/' /etc/clic-edge/pipelines/*.toml",
        user="root",
    )
    key = box.done("sha256sum /etc/clic-edge/secrets/worker/deid.key", user="root")
    box.done(line, user="root")  # as after a new image
    assert box.done("sha256sum /etc/clic-edge/secrets/worker/deid.key", user="root") == key
    for name in ("orthanc", "web"):
        user = COMPOSE["services"][name]["user"]
        box.done("! cat /etc/clic-edge/secrets/worker/deid.key", user=user)

    study = box.folder / "state" / "study"
    shutil.copytree(shared / "study1", study)
    pacs = box.folder / "state" / "pacs"
    pacs.mkdir(mode=0o777)
    pacs.chmod(0o777)
    pacs_line = "storescp --fork -aet PACS -od /var/lib/clic-edge/pacs +xa 11112"
    words = box.command(["sh", "-c", pacs_line], user="clic-edge-worker", environment={})
    receiver = subprocess.Popen(words, start_new_session=True)
    try:
        with (
            box.service("orthanc", CLIC_EDGE_ORTHANC_STABLE_AGE="2"),
            box.service("worker"),
        ):
            wait_for(lambda: _answers(box), "Orthanc answers", 240)
            wait_for(lambda: _succeeds(box, ALLOW), "the sender is allowed", 240)
            sender = (
                "storescu -aet MODALITY -aec CLICEDGE 127.0.0.1 4242 +sd /var/lib/clic-edge/study"
            )
            box.done(sender, user="root")
            wait_for(lambda: len(list(pacs.iterdir())) == 3, "SEG, SR and root are there", 300)
            assert "delivered" in box.done("clic-edge cases list")
            with box.service("web"):
                ask = (
                    "python3 -c 'import ssl, urllib.request as r; "
                    'print(r.urlopen("https://127.0.0.1:8043/health", '
                    "context=ssl._create_unverified_context()).status)'"
                )
                wait_for(lambda: _succeeds(box, ask), "the pages answer", 120)
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(receiver.pid)], check=False)
        receiver.wait()


def _answers(box: Box) -> bool:
    return _succeeds(box, "echoscu -aet MODALITY -aec CLICEDGE 127.0.0.1 4242")


def _succeeds(box: Box, line: str) -> bool:
    words = box.command(["sh", "-c", line], user="clic-edge-web:clic-edge", environment={})
    return subprocess.run(words, check=False, capture_output=True).returncode == 0
