"""What a model is allowed to do in a pipeline, and how it came to that."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class ModelState(StrEnum):
    """What a model does in a pipeline."""

    INSTALLED = "installed"
    """It is there, and does nothing."""
    TESTING = "testing"
    """A person tries it by `run` and `validate`; never on live traffic."""
    SHADOW = "shadow"
    """It sees live traffic and is logged; nothing of it reaches a PACS."""
    ACTIVE = "active"
    """Its results are delivered; at most one in a pipeline."""
    SUSPENDED = "suspended"
    """It was active; readers are told that it is suspended, and why."""
    RETIRED = "retired"
    """It never runs again."""


_STATE = ModelState
TRANSITIONS: Mapping[ModelState | None, frozenset[ModelState]] = MappingProxyType(
    {
        None: frozenset({_STATE.INSTALLED}),
        _STATE.INSTALLED: frozenset({_STATE.TESTING, _STATE.RETIRED}),
        _STATE.TESTING: frozenset({_STATE.INSTALLED, _STATE.SHADOW, _STATE.RETIRED}),
        _STATE.SHADOW: frozenset({_STATE.TESTING, _STATE.ACTIVE, _STATE.RETIRED}),
        _STATE.ACTIVE: frozenset({_STATE.SHADOW, _STATE.SUSPENDED, _STATE.RETIRED}),
        _STATE.SUSPENDED: frozenset({_STATE.TESTING, _STATE.SHADOW, _STATE.ACTIVE, _STATE.RETIRED}),
        _STATE.RETIRED: frozenset(),
    }
)
"""Where a person, or a stop rule, may move a model; `None` is a model that nobody has seen yet."""

CONFIGURATION = "configuration"
"""Who moves a model when the site's files decide."""
STOP_RULE = "stop rule"
"""Who moves a model when a chart or a constancy run asks for it."""
SYSTEM_NAMES = frozenset({CONFIGURATION, STOP_RULE, "clic edge", "monitor", "schedule", "system"})
"""No person may go by one of these."""
STOPPED_CODES = frozenset({"model-suspended", "model-taken-out"})
"""Why series of a stopped model are refused: what the site refuses is no word of the model's."""
LONGEST_NAME = 64
"""Letters of the name of who decides."""
BY_CONFIGURATION: Mapping[ModelState | None, frozenset[ModelState]] = MappingProxyType(
    {
        None: frozenset({_STATE.INSTALLED, _STATE.SHADOW, _STATE.ACTIVE}),
        _STATE.INSTALLED: frozenset({_STATE.SHADOW, _STATE.ACTIVE}),
        _STATE.TESTING: frozenset({_STATE.ACTIVE}),
        _STATE.SHADOW: frozenset({_STATE.ACTIVE}),
        _STATE.ACTIVE: frozenset({_STATE.SHADOW}),
        _STATE.SUSPENDED: frozenset(),
        _STATE.RETIRED: frozenset(),
    }
)
"""Where the site's files may move one: never out of what a person ended."""


def is_reserved(name: str) -> bool:
    """Whether a name, however it is written, is one by which the appliance itself acts."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(re.split(r"[\s_-]+", folded)).strip() in SYSTEM_NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One model, to the byte, in one pipeline: what has a state."""

    pipeline: str
    model_id: str
    version: str
    digest: str
    """As `ModelIdentity.digest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A worker that is running now, and has the say on what its pipelines' files name."""

    instance: str
    """Of this one run of the process."""
    name: str
    """Of the appliance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEvent:
    """One move of a model from state to state; never changed, never deleted."""

    seq: int
    """From 1, without gaps."""
    at: datetime
    placement: Placement
    was: ModelState | None
    now: ModelState
    person: str
    """A name; or `CONFIGURATION`."""
    reason: str
    evidence: str
    """The acceptance report, as JSON; empty where none was asked for."""
    link: str
    """SHA-256 over this event and the link before it."""
