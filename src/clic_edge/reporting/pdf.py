"""A report as PDF/A-3a, which holds its own values as an attached JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import typst

from clic_edge.errors import Defect

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.reporting.document import Block, Document

STANDARD: Final = "a-3a"
"""Tagged for screen readers, and with files attached (ISO 19005-3)."""


def pdf(document: Document, *, attached: str, name: str, at: datetime) -> bytes:
    """Return the pages with `attached` in a file of that name; the same report has the same bytes.

    Raises
    ------
    Defect
        ``report-impossible``: the pages can't be set.

    """
    told = {
        **{key: getattr(document, key) for key in ("title", "subtitle", "footer", "language")},
        "sections": [
            {"heading": section.heading, "blocks": [_told(one) for one in section.blocks]}
            for section in document.sections
        ],
        "attached": {"name": name, "content": attached, "description": document.title},
    }
    try:
        made: bytes = typst.compile(
            (files("clic_edge.reporting") / "report.typ").read_bytes(),
            format="pdf",
            font_paths=_fonts(),
            sys_inputs={"told": json.dumps(told)},
            pdf_standards=[STANDARD],
            timestamp=int(at.timestamp()),
        )
    except RuntimeError as error:
        raise Defect("report-impossible", "The pages of the report can't be set.") from error
    return made


def _told(one: Block) -> dict[str, object]:
    return {"kind": type(one).__name__.lower(), **asdict(one)}


@cache
def _fonts() -> typst.Fonts:
    """Return DejaVu Sans, which has the letters of every European language, and typst's own."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return typst.Fonts(include_system_fonts=False, font_paths=[folder])
