"""`/constancy`: runs on a calendar, trends, results of a run, and acceptance reports to download."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from clic_edge.board.constancy import (
    Constancy,
    RunResults,
    Trend,
    Wanted,
    constancy,
    run_results,
)
from clic_edge.domain.account import Account, Role
from clic_edge.domain.constancy import Verdict
from clic_edge.drawing.levey_jennings import LeveyJennings, Measured, levey_jennings
from clic_edge.drawing.look import Language as Tongue
from clic_edge.drawing.look import Look
from clic_edge.drawing.numerals import say_number
from clic_edge.drawing.runs import Calendar, Outcome, Run, calendar
from clic_edge.errors import ClicEdgeError, ConfigError
from clic_edge.web.access import account_of, at_least
from clic_edge.web.fields import ONE_LINE
from clic_edge.web.model import PERIODS
from clic_edge.web.models import Watch
from clic_edge.web.rendering import Pages
from clic_edge.web.words import Language, say

_OUTCOMES: Final = {
    Verdict.PASSED: Outcome.PASSED,
    Verdict.FAILED: Outcome.FAILED,
    Verdict.INCOMPLETE: Outcome.MISSED,
}
_TYPES: Final = {"pdf": "application/pdf", "json": "application/json"}
_Physicist = Annotated[Account, Depends(at_least(Role.PHYSICIST))]
_Id = Annotated[str, Path(max_length=64, pattern=r"^[\w-]+$")]
_Kind = Literal["pdf", "json"]


def wanted_of(
    *,
    days: Annotated[int, Query(ge=1, le=730)] = 90,
    protocol: Annotated[str, Query(max_length=64, pattern=ONE_LINE)] = "",
    case: Annotated[str, Query(max_length=64, pattern=ONE_LINE)] = "",
) -> Wanted:
    """Return what part of it a request asks for."""
    return Wanted(days=days, protocol=protocol, case=case)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """The page, to be shown again where no run could be started."""

    watch: Watch
    pages: Pages

    def show(
        self, request: Request, account: Account, wanted: Wanted, *, notice: str = ""
    ) -> Response:
        language = self.pages.language(request)
        board = constancy(self.watch.ledger, wanted, now=datetime.now(UTC))
        may_run = self.watch.run is not None and account.role.includes(Role.PHYSICIST)
        return self.pages.page(
            request,
            "constancy.html",
            status=409 if notice else 200,
            board=board,
            wanted=wanted,
            periods=PERIODS,
            charts=_drawn(board, language),
            figures=lambda value: say_number(value, Tongue(language)),
            may_run=may_run,
            notice=notice,
        )


def router(watch: Watch, pages: Pages) -> APIRouter:
    """Return the routes; what constancy knows is of phantoms, and of no patient."""
    routes = APIRouter(dependencies=[Depends(account_of)])
    front = _Front(watch=watch, pages=pages)

    @routes.get("/constancy")
    def every(
        request: Request,
        wanted: Annotated[Wanted, Depends(wanted_of)],
        account: Annotated[Account, Depends(account_of)],
    ) -> Response:
        return front.show(request, account, wanted)

    @routes.post("/constancy/run")
    def run(
        request: Request,
        protocol: Annotated[str, Form(max_length=64, pattern=ONE_LINE)],
        account: _Physicist,
    ) -> Response:
        try:
            start(watch, protocol, account)
        except ClicEdgeError as error:
            return front.show(request, account, Wanted(protocol=protocol), notice=error.sentence)
        return RedirectResponse("/constancy", 303)

    @routes.get("/constancy/runs/{run_id}")
    def one(request: Request, run_id: _Id) -> Response:
        tongue = Tongue(pages.language(request))
        return pages.page(
            request,
            "constancy_run.html",
            board=results_of(watch, run_id),
            figures=lambda value: say_number(value, tongue),
        )

    @routes.get("/constancy/reports/{report_id}.{kind}")
    def report(report_id: _Id, kind: _Kind) -> Response:
        return _file(watch, report_id, kind)

    return routes


def api(watch: Watch) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["constancy"])

    @routes.get("/constancy")
    def every(wanted: Annotated[Wanted, Depends(wanted_of)]) -> Constancy:
        """Return the runs of a protocol, its calendar, trends of one case, and reports."""
        return constancy(watch.ledger, wanted, now=datetime.now(UTC))

    @routes.post("/constancy/run", status_code=202)
    def run(
        protocol: Annotated[str, Query(max_length=64, pattern=ONE_LINE)], account: _Physicist
    ) -> Constancy:
        """Start a run of a protocol; it takes minutes, and is listed as it begins."""
        start(watch, protocol, account)
        return constancy(watch.ledger, Wanted(protocol=protocol), now=datetime.now(UTC))

    @routes.get("/constancy/runs/{run_id}")
    def one(run_id: _Id) -> RunResults:
        """Return one run with all that it compared."""
        return results_of(watch, run_id)

    @routes.get(
        "/constancy/reports/{report_id}.{kind}",
        response_class=Response,
        responses={200: {"content": {kind: {} for kind in _TYPES.values()}}},
    )
    def report(report_id: _Id, kind: _Kind) -> Response:
        """Return an acceptance report as PDF or JSON."""
        return _file(watch, report_id, kind)

    return routes


def results_of(watch: Watch, run_id: str) -> RunResults:
    """Return one run. Raises ConfigError ``no-such-run``."""
    found = run_results(watch.ledger, run_id)
    if found is None:
        raise ConfigError("no-such-run", "There is no constancy run with that id.")
    return found


def start(watch: Watch, protocol: str, account: Account) -> None:
    """Start a run in the account's name. Raises ConfigError ``no-constancy`` where none can be."""
    if watch.run is None:
        raise ConfigError("no-constancy", "These pages can't start a run; use the command line.")
    watch.run(protocol, account.name)


def _file(watch: Watch, report_id: str, kind: _Kind) -> Response:
    files = watch.ledger.constancy.report(report_id)
    content = files.pdf if kind == "pdf" else files.json
    name = f'attachment; filename="acceptance-{report_id}.{kind}"'
    return Response(content, media_type=_TYPES[kind], headers={"Content-Disposition": name})


def _drawn(board: Constancy, language: Language) -> Mapping[str, Markup]:
    """Return the pictures: the calendar, and each trend by its quantity."""
    drawn = {"calendar": _calendar(board, language)}
    drawn |= {f"trend {one.quantity}": _trend(one, language) for one in board.trends}
    # The drawing escapes what it is given.
    return {name: Markup(one) for name, one in drawn.items()}  # noqa: S704 - as said above


def _calendar(board: Constancy, language: Language) -> str:
    counts = {it: sum(one.verdict is it for one in board.days) for it in _OUTCOMES}
    message = say(
        language,
        "constancy.calendar_message",
        **{str(verdict): count for verdict, count in counts.items()},
    )
    runs = tuple(
        Run(
            day=one.day,
            outcome=_OUTCOMES[one.verdict],
            tip=f"{one.day}: {say(language, f'constancy.verdict_{one.verdict}')}",
            href=f"/constancy/runs/{one.runs[-1]}",
        )
        for one in board.days
        if one.verdict in _OUTCOMES
    )
    names = tuple((_OUTCOMES[it], say(language, f"constancy.verdict_{it}")) for it in _OUTCOMES)
    title = say(language, "constancy.calendar")
    drawn = Calendar(title=title, message=message, runs=runs, names=names)
    return calendar(drawn, Look(language=Tongue(language)))


def _trend(trend: Trend, language: Language) -> str:
    tongue = Tongue(language)
    message = say(
        language,
        "constancy.trend_tolerance" if trend.by_tolerance else "constancy.trend_spread",
        n=len(trend.points),
        mean=say_number(trend.mean, tongue),
    )
    drawn = LeveyJennings(
        title=trend.quantity,
        message=message,
        label=trend.unit.replace("mm3", "mm³"),
        measured=tuple(
            Measured(
                day=one.at.date(),
                value=one.value,
                passed=one.passed,
                tip=f"{one.at:%Y-%m-%d %H:%M}: {say_number(one.value, tongue)}",
                href=f"/constancy/runs/{one.run_id}",
            )
            for one in trend.points
        ),
        mean=trend.mean,
        sd=trend.sd,
        bound=say(language, "constancy.tolerance_short") if trend.by_tolerance else "",
    )
    return levey_jennings(drawn, Look(language=tongue, width=440))
