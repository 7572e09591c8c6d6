"""A PACS that takes everything and counts: `python load_pacs.py PORT FILE`.

Appends the SOP Instance UID of each C-STORE to FILE, so that what came twice stands there twice.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification


def main() -> None:
    """Serve until it is killed."""
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    turn = threading.Lock()

    def taken(event: evt.Event) -> int:
        with turn, file.open("a") as out:
            out.write(f"{event.request.AffectedSOPInstanceUID}\n")
        return 0x0000

    ae = AE("PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    handlers = [(evt.EVT_C_STORE, taken), (evt.EVT_CONN_OPEN, _quick)]
    ae.start_server(("127.0.0.1", port), evt_handlers=handlers)


def _quick(event: evt.Event) -> None:
    """Let small packets not wait for acknowledgements."""
    transport = event.assoc.dul.socket
    if transport and transport.socket:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


if __name__ == "__main__":
    main()
