"""A report as a page in one file: no script, nothing from elsewhere, light and dark, printable."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from clic_edge.drawing.look import DARK, LIGHT
from clic_edge.reporting.document import Picture, Table, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.drawing.look import Theme
    from clic_edge.reporting.document import Block, Document

_STYLE = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
@media print { :root { LIGHT } section { break-inside: auto } svg, tr { break-inside: avoid } }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.5rem 3rem; background: var(--ground);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2rem }
.quiet { color: var(--quiet) } .notice { border-left: .3rem solid var(--warn); padding-left: .8rem }
.scrolls { overflow-x: auto } table { border-collapse: collapse; margin: .5rem 0 1rem }
caption { text-align: left; font-weight: 650; padding: .3rem 0; white-space: nowrap }
th, td { text-align: left; vertical-align: top; padding: .3rem 1.2rem .3rem 0;
  border-bottom: 1px solid var(--grid); min-width: 4rem }
.number { text-align: right; font-variant-numeric: tabular-nums } td.number { white-space: nowrap }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top }
"""


def page(document: Document) -> str:
    """Return HTML that needs nothing beside itself."""
    body = "".join(
        f"<section><h2>{escape(section.heading)}</h2>{''.join(map(_block, section.blocks))}</section>"
        for section in document.sections
    )
    style = _STYLE.replace("LIGHT", _properties(LIGHT)).replace("DARK", _properties(DARK))
    return (
        f'<!DOCTYPE html>\n<html lang="{document.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document.title)}</title><style>{style}</style></head><body><main>"
        f'<h1>{escape(document.title)}</h1><p class="quiet">{escape(document.subtitle)}</p>'
        f'{body}</main><footer class="quiet">{escape(document.footer)}</footer></body></html>\n'
    )


def _properties(theme: Theme) -> str:
    named = ("text", "quiet", "grid", "ground", "shade", "good", "warn", "bad", "idle")
    plain = (f"--{name}: {getattr(theme, name)};" for name in named)
    series = (f"--series-{n}: {colour};" for n, colour in enumerate(theme.series, 1))
    return " ".join([*plain, *series])


def _block(one: Block) -> str:
    if isinstance(one, Words):
        kind = ' class="notice"' if one.is_notice else ""
        return f"<p{kind}>{escape(one.text)}</p>"
    if isinstance(one, Picture):
        return f"<figure>{one.svg}</figure>"
    return "".join(_table(one)) if one.rows else ""


def _table(one: Table) -> Iterator[str]:
    yield '<div class="scrolls" tabindex="0"><table>'
    if one.caption:
        yield f"<caption>{escape(one.caption)}</caption>"
    if one.columns:
        heads = (
            f'<th scope="col"{_side(one, n)}>{escape(name)}</th>'
            for n, name in enumerate(one.columns)
        )
        yield f"<thead><tr>{''.join(heads)}</tr></thead>"
    yield "<tbody>"
    for row in one.rows:
        first, *rest = row
        cells = (f"<td{_side(one, n)}>{escape(cell)}</td>" for n, cell in enumerate(rest, 1))
        yield f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def _side(one: Table, column: int) -> str:
    return ' class="number"' if column >= one.numbers_from else ""
