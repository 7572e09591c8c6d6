"""A bare Debian 12 of its own: its root, its systemd, and a network that leads nowhere.

The root is an overlay over a cached one, booted by its own systemd in namespaces of everything. So
a host starts in a second, and what a test did to it goes with it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
MIRROR = "http://deb.debian.org"
SOURCES = (
    f"deb {MIRROR}/debian bookworm main",
    f"deb {MIRROR}/debian bookworm-updates main",
    f"deb {MIRROR}/debian-security bookworm-security main",
)
BOOT = """\
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3,workdir=$4" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for one in null zero full random urandom tty; do
  touch dev/$one; mount --bind /dev/$one dev/$one
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
mkdir -p shared; [ -z "$5" ] || mount --bind "$5" shared
ip link set lo up
hostname site
mkdir -p old; pivot_root . old; cd /; umount -l /old; rmdir /old
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
"""


UNSHARE = (
    *("unshare", "--cgroup", "--pid", "--mount", "--net", "--uts", "--ipc"),
    *("--fork", "--kill-child"),
)
ENVIRONMENT = (
    *("env", "-i", "HOME=/root", "COLUMNS=200"),
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)


def bare_root() -> Path:
    """Return the archive of a bare Debian with systemd and nothing else, made at first."""
    archive = ROOT / "build" / "bare-debian-12.tar"
    if not archive.exists():
        if not shutil.which("mmdebstrap"):
            pytest.skip("mmdebstrap is not installed")
        part = archive.with_suffix(".part.tar")
        options = ("--variant=minbase", "--include=systemd-sysv", "--quiet")
        no_more = "--aptopt=APT::Install-Recommends false"
        subprocess.run(
            ["mmdebstrap", *options, no_more, "bookworm", str(part), *SOURCES], check=True
        )
        part.rename(archive)
    return archive


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host that runs."""

    pid: int
    """Of its systemd, as we see it."""
    upper: Path
    """What became another than in the root that it began with."""

    def run(self, command: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a line of shell on the host, as root."""
        return subprocess.run(
            [
                "nsenter",
                "-t",
                str(self.pid),
                "-a",
                *ENVIRONMENT,
                "bash",
                "-c",
                f"cd /root; {command}",
            ],
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=1500,
        )

    def done(self, command: str) -> str:
        """Return what a command that succeeds prints."""
        ended = self.run(command)
        assert ended.returncode == 0, (command, ended.stdout[-3000:], ended.stderr[-3000:])
        return ended.stdout

    def path(self, name: str) -> Path:
        """Return where we find a file of the host."""
        return Path(f"/proc/{self.pid}/root/{name.lstrip('/')}")


@contextmanager
def booted(layers: tuple[Path, ...], shared: Path | None = None) -> Iterator[Host]:
    """Boot a host over read-only roots, the topmost first; a shared folder is at /shared."""
    with tempfile.TemporaryDirectory(
        prefix="clic-edge-host-", ignore_cleanup_errors=True
    ) as folder:
        names = ("root", "upper", "work")
        root, upper, work = (Path(folder, name) for name in names)
        for one in (root, upper, work):
            one.mkdir()
        lower = ":".join(map(str, layers))
        process = subprocess.Popen(
            [
                *UNSHARE,
                "bash",
                "-c",
                BOOT,
                "boot",
                *map(str, (root, lower, upper, work, shared or "")),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            wait_for(lambda: bool(children.read_text().split()), "a namespace is there")
            host = Host(pid=int(children.read_text().split()[0]), upper=upper)
            wait_for(lambda: _is_up(host, process), "systemd is up")
            yield host
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()


@contextmanager
def neighbour(host: Host) -> Iterator[Callable[[int], bool]]:
    """Put another machine beside a host; yield what tells whether it reaches a port there."""
    name = f"clic-edge-{host.pid}"
    there = ("nsenter", "-t", str(host.pid), "-n", "ip")

    def knock(port: int) -> bool:
        words = f"import socket; socket.create_connection(('192.0.2.1', {port}), 20)"
        inside = ("ip", "netns", "exec", name, sys.executable, "-c", words)
        return subprocess.run(inside, check=False, capture_output=True).returncode == 0

    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        wire = ("type", "veth", "peer", "name", "outside", "netns", str(host.pid))
        subprocess.run(["ip", "link", "add", "outside", "netns", name, *wire], check=True)
        for end, number in ((there, 1), (("ip", "-n", name), 2)):
            address = f"192.0.2.{number}/24"
            subprocess.run([*end, "addr", "add", address, "dev", "outside"], check=True)
            subprocess.run([*end, "link", "set", "outside", "up"], check=True)
        yield knock
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _is_up(host: Host, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        stderr = process.stderr.read().decode() if process.stderr else ""
        pytest.skip(f"this machine boots no systemd in a namespace: {stderr}")
    said = host.run("systemctl is-system-running").stdout.strip()
    return said in {"running", "degraded"}
