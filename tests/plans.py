"""How SQLite goes about what is asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.engine import Engine


def plan_of(engine: Engine, act: Callable[[], object]) -> list[str]:
    """Return the steps of what a function reads and changes, statement by statement."""
    said: list[tuple[str, tuple[object, ...]]] = []

    def remember(_c: object, _cursor: object, text: str, given: object, *_rest: object) -> None:
        said.append((text, tuple(cast("Iterable[object]", given))))

    sa.event.listen(engine, "before_cursor_execute", remember)
    try:
        act()
    finally:
        sa.event.remove(engine, "before_cursor_execute", remember)
    with engine.connect() as connection:
        return [
            str(row[3])
            for text, given in said
            if text.startswith(("SELECT", "UPDATE", "DELETE"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)
        ]
