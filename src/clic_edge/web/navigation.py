"""The pages that every page leads to."""

from dataclasses import dataclass
from typing import Final

from clic_edge.domain.account import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the menu; its words are ``base.NAME``."""

    name: str
    path: str
    role: Role = Role.VIEWER


MENU: Final = (
    Entry(name="overview", path="/"),
    Entry(name="cases", path="/cases"),
    Entry(name="attention", path="/attention"),
    Entry(name="accounting", path="/accounting"),
    Entry(name="models", path="/models"),
    Entry(name="constancy", path="/constancy"),
    Entry(name="reports", path="/reports"),
    Entry(name="alarms", path="/alarms"),
    Entry(name="audit", path="/audit", role=Role.PHYSICIST),
    Entry(name="senders", path="/senders", role=Role.ADMINISTRATOR),
    Entry(name="accounts", path="/accounts", role=Role.ADMINISTRATOR),
)
