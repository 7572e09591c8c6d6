"""A report in all its forms: JSON, a page, PDF/A; the same values in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from clic_edge.board.report import ModelReport
from clic_edge.drawing.look import LIGHT, PAGE
from clic_edge.reporting.compose import compose
from clic_edge.reporting.page import page
from clic_edge.reporting.pdf import pdf
from clic_edge.reporting.voice import Voice

if TYPE_CHECKING:
    from clic_edge.drawing.look import Language

REPORT = TypeAdapter(ModelReport)
"""`docs/reference/monthly-report.schema.json` is its schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """One form of a report."""

    name: str
    content: bytes = field(repr=False)


def report_files(report: ModelReport, language: Language) -> tuple[ReportFile, ...]:
    """Return a report as JSON, HTML and PDF; the JSON is attached to the PDF. Raises as `pdf`."""
    stem = file_stem(report)
    values = REPORT.dump_json(report, indent=1).decode()
    shown = page(compose(report, Voice(language=language, theme=PAGE)))
    printed = pdf(
        compose(report, Voice(language=language, theme=LIGHT)),
        attached=values,
        name=f"{stem}.json",
        at=report.made_at,
    )
    return (
        ReportFile(name=f"{stem}.json", content=values.encode()),
        ReportFile(name=f"{stem}.html", content=shown.encode()),
        ReportFile(name=f"{stem}.pdf", content=printed),
    )


def file_stem(report: ModelReport) -> str:
    """Return what a report's files are called: model, version, the digest's beginning, its days."""
    period, subject = report.period, report.subject
    whole = period.first.day == 1 and (period.last - period.first).days > 26  # noqa: PLR2004 - a month has 28 days or more
    days = f"{period.first:%Y-%m}" if whole else f"{period.first}-{period.last}"
    return named(subject.model_id, subject.version, subject.digest[:8], days)


def named(*parts: object) -> str:
    """Return a file's name made of parts, with an underscore for what a name may not hold."""
    joined = "-".join(map(str, parts))
    return "".join(one if one.isalnum() or one in "-._" else "_" for one in joined).lstrip(".")
