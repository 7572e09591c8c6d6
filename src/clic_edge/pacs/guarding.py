"""Whether Orthanc's parser is guarded against nesting (decision 0037), as its process says itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from clic_edge.errors import Transient

if TYPE_CHECKING:
    from clic_edge.pacs.rest import Rest

ROUTE: Final = "/clic-edge/guard"
"""Of the plugin, which runs inside that process."""
_LIBRARIES: Final = (
    re.compile(r"/[^/\n]*nesting[^/\n]*\.so$", re.MULTILINE),
    re.compile(r"/libdcmdata\.so\.17", re.MULTILINE),
)
"""The guard, and the DCMTK for which it was made: in one that is linked into Orthanc, or of another
version, it stands in for nothing."""


class Guarded(BaseModel):
    """What the plugin answers."""

    nesting: bool


def is_guarded(maps: str) -> bool:
    """Whether a process has guard and parser loaded, by its ``/proc/self/maps`` (proc(5))."""
    return all(library.search(maps) for library in _LIBRARIES)


def says_guarded(rest: Rest) -> bool | None:
    """Whether the archive's parser is guarded; None where no plugin of this version says so.

    Raises Transient ``archive-unreachable``.
    """
    answer = rest.get(ROUTE)
    try:
        return None if answer is None else Guarded.model_validate_json(answer).nesting
    except ValidationError as error:
        raise Transient(
            "archive-unreachable", "Orthanc answers something else than its plugin would."
        ) from error
