"""The attribute types that decide X/Z/D: made from highdicom's copy of the standard's IODs.

Run this file as a program to write ``tables/attribute_types.json`` anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from highdicom._standard_utils import (
    get_iod_module_map,
    get_module_attribute_map,
    get_sop_class_iod_map,
)
from pydicom.datadict import tag_for_keyword

from clic_edge.deid.policy import needs_type
from clic_edge.deid.sop_classes import SOP_CLASSES
from clic_edge.deid.standard import table

NOTICE = "DICOM PS3.3, © NEMA, as highdicom 0.28 (MIT) carries it"


def generated() -> dict[str, object]:
    """Return the table: strictest type by tag, for each SOP class on top and for all nested."""
    modules, iods = get_module_attribute_map(), get_iod_module_map()
    top: list[dict[str, int]] = []
    classes: dict[str, int] = {}
    for uid, iod in sorted(get_sop_class_iod_map().items()):
        if uid in SOP_CLASSES:
            attributes = [a for m in iods[iod] for a in modules.get(m["key"], [])]
            types = strictest([a for a in attributes if not a["path"]])
            if types not in top:
                top.append(types)
            classes[uid] = top.index(types)
    nested = strictest([a for module in modules.values() for a in module if a["path"]])
    return {"acknowledgement": NOTICE, "sop_classes": classes, "top": top, "nested": nested}


def strictest(attributes: list[dict[str, str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for attribute in attributes:
        tag, kind = tag_for_keyword(attribute["keyword"]), " 12".find(attribute["type"][0])
        if tag is not None and kind > 0 and needs_type(tag):
            key = f"{tag:08X}"
            found[key] = min(kind, found.get(key, 3))
    return dict(sorted(found.items()))


def test_the_shipped_attribute_types_are_those_of_the_iods() -> None:
    assert json.loads(table("attribute_types")) == generated()


if __name__ == "__main__":
    target = Path(__file__).parents[2] / "src/clic_edge/deid/tables/attribute_types.json"
    target.write_text(json.dumps(generated(), indent=1) + "\n", encoding="utf-8")
