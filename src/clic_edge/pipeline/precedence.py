"""In one worker the model of a case waits while that of a more urgent one is to run."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.domain.case import Priority


class Precedence:
    """Knows which priorities are under way in this process, up to the end of their prediction."""

    def __init__(self) -> None:
        self._claims = Counter[int]()
        self._changed = threading.Condition()

    @contextmanager
    def claim(self, priority: Priority) -> Iterator[None]:
        """Let less urgent cases wait before their prediction while something runs within."""
        with self._changed:
            self._claims[priority.rank] += 1
        try:
            yield
        finally:
            with self._changed:
                self._claims[priority.rank] -= 1
                self._changed.notify_all()

    def give_way(self, priority: Priority) -> None:
        """Return when nothing more urgent is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_preceded(priority.rank))

    def _is_preceded(self, rank: int) -> bool:
        return any(count for other, count in self._claims.items() if other < rank)
