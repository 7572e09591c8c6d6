"""A database that is damaged is said to be, in one sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clic_edge.errors import Defect
from clic_edge.ledger.database import migrate, open_engine

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_is_no_database_is_damaged_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"Kanariefugl" * 1000)
    with pytest.raises(Defect) as damaged:
        migrate(open_engine(f"sqlite:///{path}"))
    assert damaged.value.code == "database-damaged"
    assert "clic-edge ledger restore" in damaged.value.sentence
    assert path.read_bytes() == b"Kanariefugl" * 1000
