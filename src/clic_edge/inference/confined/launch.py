"""Take rights away from this process, for good, and become the program that is named.

    python -I -S launch.py LIMITS PROGRAM ARGUMENT…

LIMITS is JSON, as `confinement` writes it. What could be taken away is written to the file
descriptor ``status`` as one line of words: ``network`` (a namespace without any interface) and
``files`` (Landlock: only what is listed can be read or written, and nobody outside be signalled or
traced). Where ``required`` is set and one of both fails, the process ends with `INCOMPLETE`.

Imports the standard library alone, and starts in 30 ms.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import struct
import sys
from pathlib import Path

INCOMPLETE = 97
"""Exit status: this machine does not isolate as far as was required."""
_NEW_NAMESPACES = 0x10000000 | 0x40000000 | 0x00020000 | 0x08000000
"""CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS and CLONE_NEWIPC of unshare(2)."""
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14
"""MS_PRIVATE and MS_REC of mount(2)."""
_NO_NEW_PRIVILEGES, _DEATH_SIGNAL, _SIGKILL = 38, 1, 9
"""PR_SET_NO_NEW_PRIVS and PR_SET_PDEATHSIG of prctl(2)."""
_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""landlock_create_ruleset, landlock_add_rule and landlock_restrict_self, on every architecture."""
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""The rights that a rule about a file, not a folder, may name."""
_OF_FILE_SYSTEM = ((1, (1 << 13) - 1), (2, 1 << 13), (3, _TRUNCATE))
_OF_TCP = ((4, 3),)
_OF_SCOPE = ((6, 3),)
"""What Landlock takes away, from which version on: files; bind and connect; signals and sockets."""
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Become the program."""
    limits, program = json.loads(sys.argv[1]), sys.argv[2:]
    _bound_memory(limits["memory_bytes"])
    taken = [
        name
        for name, succeeded in (
            ("network", _leave_the_network()),
            ("files", _keep_to(limits["reads"], limits["writes"])),
        )
        if succeeded
    ]
    if limits["required"] and len(taken) < 2:  # noqa: PLR2004 - both
        sys.exit(INCOMPLETE)
    if limits["dies_with_parent"]:
        _libc.prctl(_DEATH_SIGNAL, _SIGKILL, 0, 0, 0)
    os.write(limits["status"], (" ".join(taken) + "\n").encode())
    os.execvp(program[0], program)  # noqa: S606 - the very purpose; there is no shell


def _leave_the_network() -> bool:
    """Go where there is no network, and no socket in /run either; return whether that worked."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_NAMESPACES) != 0:
        return False
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    private = _libc.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None)
    return bool(private == 0 and _libc.mount(b"none", b"/run", b"tmpfs", 0, None) == 0)


def _keep_to(reads: list[str], writes: list[str]) -> bool:
    """Give up every file but these (Landlock); return whether the kernel can do that."""
    version = _libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    handled, network, scope = (
        sum(rights for since, rights in versions if since <= version)
        for versions in (_OF_FILE_SYSTEM, _OF_TCP, _OF_SCOPE)
    )
    attributes = struct.pack("QQQ", handled, network, scope)
    # A kernel takes more bytes than it knows of where they are zero.
    ruleset = _libc.syscall(_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    for path in reads:
        _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_FOLDER)
    _allow(ruleset, "/dev", _READ_FILE | _READ_FOLDER | _WRITE_FILE)
    for path in writes:
        _allow(ruleset, path, handled)
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return bool(_libc.syscall(_RESTRICT, ruleset, 0) == 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    if not Path(path).exists():
        return
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    allowed = rights if Path(path).is_dir() else rights & _OF_FILES
    rule = struct.pack("=Qi", allowed, opened)
    _libc.syscall(_ADD, ruleset, 1, rule, 0)
    os.close(opened)


def _bound_memory(most_bytes: int) -> None:
    """Bound files and the address space; where there is a GPU, what is written, as CUDA reserves far more.

    Should the machine itself run out of memory, this process is ended before the worker.
    """
    kind = resource.RLIMIT_DATA if Path("/dev/nvidiactl").exists() else resource.RLIMIT_AS
    resource.setrlimit(kind, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main()
