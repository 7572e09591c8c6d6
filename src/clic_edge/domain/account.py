"""Who is at the pages, and what they may do there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an account may do; each role may do what those before it may."""

    VIEWER = "viewer"
    """Reads every page."""
    PHYSICIST = "physicist"
    """Also acts: alarms, cases, references, constancy, states of models."""
    ADMINISTRATOR = "administrator"
    """Also decides about accounts and the site."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person, or a program, that has logged in."""

    name: str
    """As it stands in the audit trail."""
    role: Role
