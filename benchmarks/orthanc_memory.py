"""What Orthanc keeps of each call that its plugin for Python, or Lua, is asked about.

``python benchmarks/orthanc_memory.py``: an Orthanc with nothing but one callback is asked, or sent
one small image, again and again. Prints the table of docs/decisions/0039-http-filter.md.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydicom.data import get_testdata_file

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from servers import OrthancOptions, orthanc_server  # noqa: E402 - found through the line above

if TYPE_CHECKING:
    from servers import OrthancServer

FIRST: Final = 1000
"""Calls before the first look: caches are filled then."""
HTTP: Final = {
    "none": "",
    "`IncomingHttpRequestFilter` of Lua": "",
    "`RegisterIncomingHttpRequestFilter` of Python": (
        "orthanc.RegisterIncomingHttpRequestFilter(lambda uri, **request: True)"
    ),
    "`RegisterRestCallback` of Python": (
        "orthanc.RegisterRestCallback(\n"
        "    '/asked', lambda output, uri, **request: output.AnswerBuffer('', 'text/plain'))"
    ),
}
DICOM: Final = {
    "`RegisterIncomingCStoreInstanceFilter` of Python": (
        "orthanc.RegisterIncomingCStoreInstanceFilter(\n"
        "    lambda instance: 0 * len(bytes(instance.GetInstanceData())))"
    ),
    "`RegisterOnChangeCallback` of Python": (
        "orthanc.RegisterOnChangeCallback(lambda change, level, resource: None)"
    ),
}


def kept(server: OrthancServer) -> int:
    """Return the bytes that a process has for itself."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if "RssAnon" in line)


def ask(server: OrthancServer, times: int) -> None:
    """Ask for one page, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port)
    for _ in range(times):
        connection.request("GET", "/asked")
        connection.getresponse().read()


def store(server: OrthancServer, times: int) -> None:
    """Send one image, on one association."""
    words = ["storescu", "--repeat", str(times), "127.0.0.1", str(server.dicom_port)]
    image = str(get_testdata_file("CT_small.dcm"))
    subprocess.run([*words, image], check=True, env=os.environ | {"TCP_NODELAY": "1"})


def main() -> None:
    """Measure each callback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    calls = parser.parse_args().calls
    print("| callback | KiB kept a call |\n|---|---|")
    for name, script in (HTTP | DICOM).items():
        with tempfile.TemporaryDirectory() as folder:
            plugin = Path(folder) / "plugin.py"
            plugin.write_text(f"import orthanc\n{script}\n")
            if "Lua" in name:
                shutil.copy(ROOT / "orthanc-plugins" / "room.lua", folder)
            with orthanc_server(OrthancOptions(python_plugin=plugin)) as server:
                call = ask if name in HTTP else store
                call(server, FIRST)
                before = kept(server)
                call(server, calls)
                print(f"| {name} | {(kept(server) - before) / calls / 1024:.2f} |", flush=True)


if __name__ == "__main__":
    main()
