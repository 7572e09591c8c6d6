"""A validation as a page: HTML that needs nothing beside it, and PDF for the file."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import typst

from clic_edge.validation.groups import SMALLEST_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.validation.answers import Estimate
    from clic_edge.validation.report import Metric, Report, Summary
    from clic_edge.validation.statistics import PairedDifference

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;text-align:left;"
    "border-bottom:1px solid #999}img{max-width:100%}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}img{background:#fff}}"
)

DIGITS = 3
"""Of an estimate in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What stands on the page, in whichever form."""

    title: str
    lines: tuple[str, ...]
    tables: tuple[Section, ...]
    picture: bytes = field(repr=False)
    """PNG."""
    picture_title: str
    picture_words: str
    """For whom does not see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table with what it is about; the first row are the names of its columns."""

    title: str
    rows: tuple[tuple[str, ...], ...]


def opening_lines(model: ModelIdentity, selection: str, device: str) -> tuple[str, ...]:
    """Return which model was run, on which cases, and where."""
    return (
        model.title,
        f"{model.manufacturer}; package {model.digest}",
        f"{selection} Run on the {device}.",
    )


def told(one: Estimate) -> str:
    """Return an estimate in words."""
    return number(one.value, one.low, one.high, digits=DIGITS)


def page_of(report: Report, picture: bytes, against: Report | None = None) -> Page:
    """Return what a validation says, in words and tables."""
    model = report.model
    return Page(
        title=f"Validation of {model.model_id} {model.version}",
        lines=(
            *opening_lines(model, report.selection, report.device),
            "Means with 95 % intervals by resampling the cases (2000 bootstrap means).",
            *(f"{one.name} was refused: {one.reason}" for one in report.refused),
        ),
        tables=tuple(_sections(report, against)),
        picture=picture,
        picture_title=f"Agreement of {report.measure.sizes}",
        picture_words="Bland-Altman plot, a panel for each segment",
    )


def to_html(page: Page) -> str:
    """Return the page as one HTML file without scripts and links."""
    image = base64.b64encode(page.picture).decode()
    body = "".join(f"<p>{escape(line)}</p>" for line in page.lines)
    tables = "".join(
        f"<h2>{escape(one.title)}</h2><table>{''.join(_html_rows(one))}</table>"
        for one in page.tables
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(page.title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(page.title)}</h1>{body}{tables}"
        f'<h2>{escape(page.picture_title)}</h2><img alt="{escape(page.picture_words)}" '
        f'src="data:image/png;base64,{image}"></html>\n'
    )


def to_pdf(page: Page) -> bytes:
    """Return the page as PDF/A-2b."""
    told = {
        "title": page.title,
        "lines": page.lines,
        "tables": [{"title": one.title, "rows": one.rows} for one in page.tables],
        "picture": _svg(page.picture),
        "picture_title": page.picture_title,
    }
    pdf: bytes = typst.compile(
        (files("clic_edge.validation") / "report.typ").read_bytes(),
        sys_inputs={"told": json.dumps(told)},
        pdf_standards=["a-2b"],
    )
    return pdf


def _sections(report: Report, against: Report | None) -> Iterator[Section]:
    yield Section(title=f"All {len(report.cases)} cases", rows=_rows(report))
    for column, values in report.groups.items():
        for value, names in values.items():
            few = ": too few to conclude from" if len(names) < SMALLEST_GROUP else ""
            title = f"{column} {value}, {len(names)} cases{few}"
            yield Section(title=title, rows=_rows(report.of_group(names)))
    if against:
        other = against.model
        yield Section(
            title=f"{other.model_id} {other.version} less {report.model.version}, case by case",
            rows=(
                _head(report),
                *(
                    (
                        name,
                        *(
                            _difference(report.against(against, name, one.name), one)
                            for one in report.measure.metrics
                        ),
                    )
                    for name in report.class_names
                ),
            ),
        )


def _head(report: Report) -> tuple[str, ...]:
    return ("class", *(one.title for one in report.measure.metrics))


def _rows(report: Report) -> tuple[tuple[str, ...], ...]:
    return (
        _head(report),
        *(
            (name, *(_mean(report.summary(name, one.name), one) for one in report.measure.metrics))
            for name in report.class_names
        ),
    )


def _mean(summary: Summary, metric: Metric) -> str:
    return number(summary.mean, summary.low, summary.high, digits=metric.digits)


def _difference(one: PairedDifference, metric: Metric) -> str:
    p_value = one.p_value if one.low is not None else None
    return difference(one.mean, (one.low, one.high), digits=metric.digits, p_value=p_value)


def number(value: float | None, low: float | None, high: float | None, *, digits: int) -> str:
    """Return a number with its interval, as far as there is one."""
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def difference(
    value: float | None,
    ends: tuple[float | None, float | None],
    *,
    digits: int,
    p_value: float | None,
) -> str:
    """Return a difference with its interval and p-value, as far as there are."""
    if value is None:
        return "-"
    low, high = ends
    interval = "" if low is None or high is None else f" ({low:+.{digits}f} to {high:+.{digits}f})"
    chance = "" if p_value is None else f", p = {p_value:.2g}"
    return f"{value:+.{digits}f}{interval}{chance}"


def _svg(png: bytes) -> str:
    """Return a PNG as typst takes a picture that comes as text: within an SVG."""
    width, height = struct.unpack(">II", png[16:24])  # IHDR
    size = f'width="{width}" height="{height}"'
    data = base64.b64encode(png).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{size}><image {size} xlink:href="data:image/png;base64,{data}"/></svg>'
    )


def _html_rows(section: Section) -> Iterator[str]:
    for index, row in enumerate(section.rows):
        cell = "td" if index else "th"
        yield "<tr>" + "".join(f"<{cell}>{escape(one)}</{cell}>" for one in row) + "</tr>"
