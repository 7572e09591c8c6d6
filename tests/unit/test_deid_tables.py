from __future__ import annotations

import hashlib
import json

import pytest

from clic_edge.deid.dummies import DUMMY_ITEMS, Template
from clic_edge.deid.standard import confidentiality_rows, method_codes, option_names, table


@pytest.mark.parametrize(("name", "count"), [("e1_1", 657), ("e1_1a", 11), ("cid_7050", 13)])
def test_a_shipped_table_is_the_standards_with_notice_and_digest(name: str, count: int) -> None:
    content = json.loads(table(name))
    rows = json.dumps(content["rows"], separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    assert len(content["rows"]) == count
    assert hashlib.sha256(rows.encode()).hexdigest() == content["content_sha256"]
    assert content["edition"] == "2026d"
    assert "© NEMA" in content["acknowledgement"]


def test_the_options_have_636_cells_in_ten_columns() -> None:
    assert sum(len(row.options) for row in confidentiality_rows()) == 636
    assert len(option_names()) == 10


def test_every_option_column_has_a_code_of_cid_7050() -> None:
    assert {*option_names(), "basic"} <= {name for name, _ in method_codes()}


def _tags_ascend(item: Template) -> bool:
    tags = [tag for tag, _, _ in item]
    inner = [value for _, _, value in item if not isinstance(value, bytes)]
    return tags == sorted(tags) and all(_tags_ascend(value) for value in inner)


def test_dummy_items_stand_in_ascending_order() -> None:
    assert all(_tags_ascend(item) for item in DUMMY_ITEMS.values())
