"""A wire to a real server that is slow, stops or is cut; and one that leads nowhere."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 2048
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a close that sends RST."""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What it does; by default it carries everything."""

    bytes_per_s: float | None = None
    """How fast it carries what is sent to the server."""
    stops_after: int | None = None
    """Bytes to the server after which it carries nothing more, and stays open."""
    cut_after: int | None = None
    """Bytes to the server after which both ends see a reset."""
    answers_until: int | None = None
    """Bytes from the server after which it carries nothing more, and stays open."""


@contextmanager
def bad_wire(wire: Wire, server_port: int, port: int = 0) -> Iterator[int]:
    """Carry connections to a loopback port as told; yield the port to connect to."""
    over = threading.Event()
    with socket.socket() as listener:
        # Little fits into the wire itself, so that who sends notices.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        serving = threading.Thread(target=_serve, args=[listener, wire, server_port, over])
        serving.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()


def _serve(listener: socket.socket, wire: Wire, server_port: int, over: threading.Event) -> None:
    while not over.is_set():
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", server_port))
        ways = (_there, client, server), (_back, server, client)
        for way, source, sink in ways:
            threading.Thread(target=way, args=[source, sink, wire, over], daemon=True).start()


def _there(client: socket.socket, server: socket.socket, wire: Wire, over: threading.Event) -> None:
    carried = 0
    with suppress(OSError):
        while piece := client.recv(_PIECE):
            carried += len(piece)
            if wire.cut_after is not None and carried >= wire.cut_after:
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.close()
                return
            server.sendall(piece)
            if wire.bytes_per_s:
                over.wait(len(piece) / wire.bytes_per_s)
            if wire.stops_after is not None and carried >= wire.stops_after:
                over.wait()
                break
    _end(client, server)


def _back(server: socket.socket, client: socket.socket, wire: Wire, over: threading.Event) -> None:
    carried = 0
    with suppress(OSError):
        while piece := server.recv(_PIECE):
            left = len(piece) if wire.answers_until is None else wire.answers_until - carried
            client.sendall(piece[:left])
            carried += len(piece)
            if left < len(piece):
                over.wait()
                break
    _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def full_port(port: int = 0) -> Iterator[int]:
    """Yield a port that takes no connection and refuses none: packets to it are dropped."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        # Nobody accepts these two; the kernel answers no further one.
        waiting = [socket.socket() for _ in range(2)]
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(listener.getsockname())
        try:
            yield int(listener.getsockname()[1])
        finally:
            for one in waiting:
                one.close()
