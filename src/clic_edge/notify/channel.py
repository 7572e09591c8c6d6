"""What every way out has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.notice import Notice, Urgency


class Channel(Protocol):
    """One way out."""

    @property
    def name(self) -> str:
        """By which the outbox knows it."""
        ...

    @property
    def at_least(self) -> Urgency:
        """The least urgent that it takes."""
        ...

    @property
    def gathers(self) -> bool:
        """Whether a burst of one kind is told in one message, and then not again for a while."""
        ...

    def send(self, notices: Sequence[Notice]) -> None:
        """Tell them in one message; return when the other side has taken it.

        Raises
        ------
        Transient
            It has not; it is tried again.

        """
        ...
