"""Log lines as they may leave the site: our own events, with the keys and shapes that they have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import deque
from typing import TYPE_CHECKING, Final

from clic_edge.telemetry import EVENTS, KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

MOST_LINES: Final = 20_000
"""The newest that are looked at."""
_DAYS: Final = 7
_JOURNAL_SECONDS: Final = 60
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9:._-]{0,63}")
_SHAPES: Final = {
    "timestamp": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"),
    "error": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}"),
    "category": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}"),
    "place": re.compile(r"[\w.-]{1,64}:\d{1,6}"),
    "logger": re.compile(r"[a-z_][a-z0-9_.]{0,63}"),
    **dict.fromkeys(
        ("level", "state", "code", "stage", "source", "severity", "channel", "device"), _WORD
    ),
}
"""How the text of a key looks; of a key that is not here only the site's own names pass."""


def journal() -> Iterator[str]:
    """Yield what the units of clic-edge wrote in the last days; nothing where there is no journal."""
    program = shutil.which("journalctl")
    if program is None:
        return
    asked = (program, "--unit", "clic-edge*", "--since", f"-{_DAYS}d", "--output", "cat")
    try:
        ran = subprocess.run(  # noqa: S603 - a program of the system, and words of ours
            [*asked, "--lines", str(MOST_LINES), "--no-pager", "--quiet"],
            check=False,
            capture_output=True,
            timeout=_JOURNAL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    yield from ran.stdout.decode("utf-8", errors="replace").splitlines()


def in_folder(folder: Path) -> Iterator[str]:
    """Yield the lines of the log files in a folder, by name."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as lines:
                yield from lines


def filtered(
    lines: Iterable[str], *, names: Collection[str], handle: Callable[[str], str]
) -> Iterator[str]:
    """Yield our events among some lines, without what is not known to be safe.

    `names` are those of pipelines, models and destinations; `handle` stands for a case's id.
    """
    for line in deque(lines, maxlen=MOST_LINES):
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and said.get("event") in EVENTS:
            kept = {
                key: safe
                for key, value in said.items()
                if (safe := _safe(key, value, names=names, handle=handle)) is not None
            }
            yield json.dumps({"event": said["event"], **kept}, sort_keys=True)


def _safe(
    key: str, value: object, *, names: Collection[str], handle: Callable[[str], str]
) -> str | int | float | None:
    """Return a value that may be told, None of one that may not."""
    if key not in KEYS:
        return None
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        return None
    if key == "case_id":
        return handle(value)
    shape = _SHAPES.get(key)
    known = value in names if shape is None else shape.fullmatch(value) is not None
    return value if known else None
