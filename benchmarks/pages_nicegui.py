"""Serve the same twelve charts and table by NiceGUI, in a FastAPI application."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from pages_content import CHARTS, ROWS


def _options(name: str, values: list[float]) -> dict[str, object]:
    return {
        "title": {"text": name},
        "xAxis": {"type": "category", "data": list(range(len(values)))},
        "yAxis": {"type": "value"},
        "animation": False,
        "series": [
            {
                "type": "line",
                "data": values,
                "markLine": {"data": [{"yAxis": 3}], "symbol": "none"},
            }
        ],
    }


def application() -> FastAPI:
    """Return the page's application."""
    app = FastAPI()

    @ui.page("/")
    def page() -> None:
        with ui.grid(columns=3).classes("w-full"):
            for name, values in CHARTS:
                ui.echart(_options(name, values)).classes("w-full h-64")
        columns = [{"name": n, "label": n, "field": n} for n in ("case", "state", "seconds")]
        rows = [dict(zip(("case", "state", "seconds"), row, strict=True)) for row in ROWS]
        ui.table(columns=columns, rows=rows, row_key="case", pagination=0)

    ui.run_with(app)
    return app


if __name__ == "__main__":
    uvicorn.run(application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
