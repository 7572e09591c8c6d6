"""`/models/MODEL/DIGEST/window` and `/latency`: the last days beside the reference, and their speed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from markupsafe import Markup
from starlette.responses import Response

from clic_edge.board.latency import Latency, StageLatency, latency
from clic_edge.board.window import Beside, Window, window
from clic_edge.drawing.control import ControlChart, Point, Trace, control_chart
from clic_edge.drawing.look import Language as Tongue
from clic_edge.drawing.look import Look
from clic_edge.drawing.numerals import say_number
from clic_edge.web.access import account_of
from clic_edge.web.fields import ONE_LINE
from clic_edge.web.model import PERIODS, Top, top_of
from clic_edge.web.models import Watch
from clic_edge.web.rendering import Pages
from clic_edge.web.words import Language, say

_Days = Annotated[int, Query(ge=1, le=730)]


def beside_of(
    *,
    days: _Days = 30,
    reference: Annotated[str, Query(max_length=64, pattern=ONE_LINE)] = "",
    others: bool = False,
    by: Annotated[str, Query(max_length=64, pattern=ONE_LINE)] = "input.sex",
) -> Beside:
    """Return what a request wants to see beside a reference."""
    return Beside(days=days, reference_id=reference, others=others, by=by)


def router(watch: Watch, pages: Pages) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(dependencies=[Depends(account_of)])

    @routes.get("/models/{model_id}/{digest}/window")
    def beside(
        request: Request,
        above: Annotated[Top, Depends(top_of(watch, "window"))],
        asked: Annotated[Beside, Depends(beside_of)],
    ) -> Response:
        tongue = Tongue(pages.language(request))
        now = datetime.now(UTC)
        return pages.page(
            request,
            "model_window.html",
            top=above,
            board=window(watch.ledger, watch.book, above.digest, asked=asked, now=now),
            asked=asked,
            periods=PERIODS,
            figures=lambda value: say_number(value, tongue),
        )

    @routes.get("/models/{model_id}/{digest}/latency")
    def speed(
        request: Request,
        above: Annotated[Top, Depends(top_of(watch, "latency"))],
        days: _Days = 30,
    ) -> Response:
        board = latency(watch.ledger, above.digest, days=days, now=datetime.now(UTC))
        language = pages.language(request)
        return pages.page(
            request,
            "model_latency.html",
            top=above,
            board=board,
            days=days,
            periods=PERIODS,
            charts=_drawn(board, language),
            figures=lambda value: say_number(value, Tongue(language)),
        )

    return routes


def api(watch: Watch) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models/{model_id}/{digest}/window")
    def beside(
        above: Annotated[Top, Depends(top_of(watch, "window"))],
        asked: Annotated[Beside, Depends(beside_of)],
    ) -> Window:
        """Return the last days of a model beside one of its references, and its subgroups."""
        now = datetime.now(UTC)
        return window(watch.ledger, watch.book, above.digest, asked=asked, now=now)

    @routes.get("/models/{model_id}/{digest}/latency")
    def speed(
        above: Annotated[Top, Depends(top_of(watch, "latency"))], days: _Days = 30
    ) -> Latency:
        """Return how long each stage of a model's cases took, day by day."""
        return latency(watch.ledger, above.digest, days=days, now=datetime.now(UTC))

    return routes


def _drawn(board: Latency, language: Language) -> Mapping[str, Markup]:
    return {one.stage: _picture(one, language) for one in board.stages}


def _picture(stage: StageLatency, language: Language) -> Markup:
    traces = tuple(
        Trace(
            name=say(language, f"period.{name}"),
            points=tuple(Point(day=one.day, value=getattr(one, name)) for one in stage.days),
        )
        for name in ("p50", "p95")
    )
    said = {name: say_number(getattr(stage, name), Tongue(language)) for name in ("p50", "p95")}
    chart = ControlChart(
        title=stage.stage,
        message=say(language, "period.latency_message", n=stage.n, **said),
        label="s",
        traces=traces,
    )
    return Markup(control_chart(chart, Look(language=Tongue(language), width=440)))  # noqa: S704 - the drawing escapes what it is given
