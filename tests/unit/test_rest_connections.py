"""A connection to Orthanc is used again only while Orthanc holds it, too."""

from __future__ import annotations

import socket
import threading

from servers import START_SECONDS

from clic_edge.pacs.rest import HttpRest, OrthancPeer


def test_a_connection_that_orthanc_has_closed_meanwhile_is_not_asked_by() -> None:
    closed = threading.Semaphore(0)

    def answer_once_each(server: socket.socket) -> None:
        for _ in range(2):
            connection, _address = server.accept()
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
            connection.close()
            closed.release()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_once_each, args=[server], daemon=True).start()
        rest = HttpRest(OrthancPeer(url=f"http://127.0.0.1:{server.getsockname()[1]}"))
        for _ in range(2):
            assert rest.get("/changes") == b"[]"
            assert closed.acquire(timeout=START_SECONDS)
        rest.close()
