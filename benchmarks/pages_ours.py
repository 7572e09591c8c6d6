"""Serve twelve charts of 180 points and a table of 500 rows as the product makes its pages."""

from __future__ import annotations

import sys
from datetime import date, timedelta

import uvicorn
from fastapi import FastAPI
from jinja2 import Environment
from pages_content import CHARTS, FIRST, ROWS
from starlette.responses import HTMLResponse

from clic_edge.drawing.control import ControlChart, Limit, Point, Trace, control_chart
from clic_edge.web.protection import Protection

_PAGE = Environment(autoescape=True).from_string("""<!doctype html><html lang="en"><title>charts</title>
<style>.charts{display:grid;grid-template-columns:repeat(3,1fr)}</style><main>
<div class="charts">{% for one in charts %}{{ one }}{% endfor %}</div>
<table><caption>rows</caption><thead><tr><th>case<th>state<th>seconds</thead><tbody>
{% for row in rows %}<tr><td>{{ row[0] }}<td>{{ row[1] }}<td>{{ row[2] }}</tr>{% endfor %}
</tbody></table></main>""")


def _drawn(name: str, values: list[float]) -> ControlChart:
    days = [date.fromisoformat(FIRST) + timedelta(days=n) for n in range(len(values))]
    points = tuple(Point(day=one, value=value) for one, value in zip(days, values, strict=True))
    return ControlChart(
        title=name,
        message=f"{name}, {len(values)} days",
        traces=(Trace(name=name, points=points),),
        limits=(Limit(value=3, name="limit"),),
    )


def application() -> FastAPI:
    """Return the page's application."""
    app = FastAPI()

    @app.get("/")
    def page() -> HTMLResponse:
        from markupsafe import Markup  # noqa: PLC0415 - what the drawing escapes is marked so here

        charts = [Markup(control_chart(_drawn(*one))) for one in CHARTS]  # noqa: S704 - as above
        return HTMLResponse(_PAGE.render(charts=charts, rows=ROWS))

    app.add_middleware(Protection)
    return app


if __name__ == "__main__":
    uvicorn.run(application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
