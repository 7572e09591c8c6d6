"""Who is connected to a port of this machine, as the kernel knows it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_OPEN: Final = {"01", "08"}
"""ESTABLISHED, and CLOSE_WAIT: the other end has said all that it had to say."""
_WORD: Final = 8
"""Hexadecimal digits of four bytes, which lie in the order of the machine."""


def connected(port: int) -> frozenset[str]:
    """Return the addresses of the other ends of all TCP connections to a local port."""
    found = set[str]()
    for table in _TABLES:
        if not table.exists():
            continue  # a kernel without IPv6
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            if state in _OPEN and int(local.partition(":")[2], 16) == port:
                found.add(_address(remote.partition(":")[0]))
    return frozenset(found)


def _address(digits: str) -> str:
    words = (digits[start : start + _WORD] for start in range(0, len(digits), _WORD))
    address = ipaddress.ip_address(b"".join(bytes.fromhex(word)[::-1] for word in words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
