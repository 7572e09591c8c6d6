"""Coverage-guided fuzz runs with Atheris; `make fuzz` runs every target for a while.

`run.py TARGET [options of libFuzzer]`, or `run.py --each SECONDS` for all of them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
BUILD = HERE.parent.parent / "build" / "fuzz-found"
DEID = ("read", "clean")
NAMES = (
    *DEID,
    *("header", "codestream", "frame", "rule", "labels", "photograph", "package"),
)
LONGEST = {"package": 65536, "photograph": 32768}
"""Bytes of an input; 8192 for the others."""


def main() -> None:
    """Run the target named first; the rest goes to libFuzzer."""
    name, *options = sys.argv[1:]
    if name == "--each":
        sys.exit(max(_run(one, int(options[0])) for one in NAMES))
    import atheris  # noqa: PLC0415 - it is in the extra `fuzz` only

    with atheris.instrument_imports(include=["clic_edge"]):
        from fuzz import entrances, targets  # noqa: PLC0415 - they are instrumented as they load

    known = {"read": targets.read, "clean": targets.clean} | entrances.ENTRANCES
    atheris.Setup([sys.argv[0], *options], known[name])
    atheris.Fuzz()


def _run(name: str, seconds: int) -> int:
    """Run one target in a process of its own, and print its last line; return its exit code."""
    found = BUILD / name
    found.mkdir(parents=True, exist_ok=True)
    corpus = HERE / "corpus" if name in DEID else HERE / "corpora" / name
    command = [sys.executable, __file__, name, str(found), str(corpus)]
    command += [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048"]
    command += [f"-max_len={LONGEST.get(name, 8192)}", f"-artifact_prefix={found}-"]
    command += [f"-dict={HERE / 'dicom.dict'}"] if name in {*DEID, "header"} else []
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    runs = re.findall(
        r"^(?:Done|stat::number_of_executed_units:?) *(\d+)", told.stderr, re.MULTILINE
    )
    print(f"{name}: {runs[-1] if runs else 'no'} inputs, exit code {told.returncode}", flush=True)  # noqa: T201 - the report
    if told.returncode:
        print(told.stdout[-2000:], told.stderr[-3000:], flush=True)  # noqa: T201 - as above
    return told.returncode


if __name__ == "__main__":
    main()
