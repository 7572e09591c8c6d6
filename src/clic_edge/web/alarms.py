"""`/alarms`: what moved, by how much, since when; who has seen it, and what it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import RedirectResponse, Response

from clic_edge.board.alarms import (
    CURSOR,
    LARGEST_PAGE,
    AlarmPage,
    AlarmView,
    alarm_page,
    alarm_view,
)
from clic_edge.board.naming import called
from clic_edge.domain.account import Account, Role
from clic_edge.domain.monitoring import (
    EVERY,
    Acknowledgement,
    AlarmComment,
    Channel,
    Direction,
    RootCause,
    Severity,
)
from clic_edge.drawing.control import ControlChart, Limit, Mark, Point, Trace, control_chart
from clic_edge.drawing.look import Language as Tongue
from clic_edge.drawing.look import Look
from clic_edge.ledger import Ledger
from clic_edge.ledger.alarms import WantedAlarms
from clic_edge.web.access import account_of, at_least
from clic_edge.web.fields import SAID, Words
from clic_edge.web.rendering import Pages
from clic_edge.web.words import Language, say

SIGNS: Final[Mapping[Severity, str]] = MappingProxyType(
    {Severity.ADVISORY: "idle", Severity.WARNING: "warn", Severity.ACTION: "bad"}
)
_LONGEST: Final = 2000
_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]
_Text = Annotated[str, Field(min_length=1, max_length=_LONGEST, pattern=SAID)]
_Physicist = Annotated[Account, Depends(at_least(Role.PHYSICIST))]


class Asked(BaseModel):
    """A list of alarms; the URL of a page is made of the same."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Literal["open", "closed", "all"] = "open"
    model: Words = ""
    severity: Severity | Literal[""] = ""
    after: Annotated[str, Field(pattern=CURSOR)] | None = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 50

    @property
    def wanted(self) -> WantedAlarms:
        """Which alarms these are."""
        state = "" if self.state == "all" else self.state
        return WantedAlarms(state=state, model=self.model, severity=self.severity)

    def link(self, **other: object) -> str:
        """Return where the same is asked, with other values for some of it."""
        said = self.model_dump(mode="json", exclude_defaults=True) | other
        return f"/alarms?{urlencode({k: v for k, v in said.items() if v})}"


class Answer(BaseModel):
    """What a person says that an alarm was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: _Text
    cause: RootCause


class Remark(BaseModel):
    """What a person adds to an alarm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: _Text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Acts:
    """What a physicist can do to an alarm."""

    ledger: Ledger

    def acknowledge(self, alarm_id: str, answer: Answer, account: Account) -> None:
        alarm = self.ledger.alarms.one(alarm_id)  # an id is given whole
        self.ledger.monitoring.acknowledge(
            Acknowledgement(
                alarm_id=alarm.alarm_id,
                at=datetime.now(UTC),
                person=account.name,
                reason=answer.reason,
                cause=answer.cause,
            )
        )

    def comment(self, alarm_id: str, remark: Remark, account: Account) -> None:
        self.ledger.alarms.comment(
            AlarmComment(
                alarm_id=alarm_id, at=datetime.now(UTC), person=account.name, text=remark.text
            )
        )


def router(ledger: Ledger, pages: Pages) -> APIRouter:
    """Return the routes of the list, of one alarm, and of what is done to it."""
    routes = _forms(ledger)

    @routes.get("")
    def alarms(request: Request) -> Response:
        given = {name: value for name, value in request.query_params.items() if value}
        try:
            asked, understood = Asked.model_validate(given), True
        except ValidationError:
            asked, understood = Asked(), False
        listed = alarm_page(ledger, asked.wanted, limit=asked.limit, after=asked.after)
        return pages.page(
            request,
            "alarms.html",
            status=200 if understood else 400,
            asked=asked,
            understood=understood,
            listed=listed,
            models=ledger.alarms.models(),
            severities=tuple(Severity),
            signs=SIGNS,
        )

    @routes.get("/{alarm_id}")
    def alarm(request: Request, alarm_id: str) -> Response:
        view = alarm_view(ledger, alarm_id, now=datetime.now(UTC))
        return pages.page(
            request,
            "alarm.html",
            view=view,
            alarm=view.alarm,
            picture=picture(view, pages.language(request)),
            behind=behind(view),
            signs=SIGNS,
            causes=tuple(RootCause),
            longest=_LONGEST,
        )

    return routes


def _forms(ledger: Ledger) -> APIRouter:
    """Return the routes by which an alarm is acknowledged and commented on."""
    routes = APIRouter(prefix="/alarms", dependencies=[Depends(account_of)])
    acts = _Acts(ledger=ledger)

    @routes.post("/{alarm_id}/acknowledge")
    def acknowledge(
        alarm_id: str, answer: Annotated[Answer, Depends(_answer)], account: _Physicist
    ) -> Response:
        acts.acknowledge(alarm_id, answer, account)
        return RedirectResponse(f"/alarms/{alarm_id}", 303)

    @routes.post("/{alarm_id}/comment")
    def comment(
        alarm_id: str, remark: Annotated[Remark, Depends(_remark)], account: _Physicist
    ) -> Response:
        acts.comment(alarm_id, remark, account)
        return RedirectResponse(f"/alarms/{alarm_id}", 303)

    return routes


def _answer(reason: Annotated[_Text, Form()], cause: Annotated[RootCause, Form()]) -> Answer:
    return Answer(reason=reason, cause=cause)


def _remark(text: Annotated[_Text, Form()]) -> Remark:
    return Remark(text=text)


def api(ledger: Ledger) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["alarms"])
    acts = _Acts(ledger=ledger)

    @routes.get("/alarms")
    def alarms(asked: Annotated[Asked, Query()]) -> AlarmPage:
        """Return a page of alarms, the newest first; only open ones, where nothing is said."""
        return alarm_page(ledger, asked.wanted, limit=asked.limit, after=asked.after)

    @routes.get("/alarms/{alarm_id}")
    def alarm(alarm_id: _Id) -> AlarmView:
        """Return one alarm with its chart and all that happened to it."""
        return alarm_view(ledger, alarm_id, now=datetime.now(UTC))

    @routes.post("/alarms/{alarm_id}/acknowledge")
    def acknowledge(alarm_id: _Id, answer: Answer, account: _Physicist) -> AlarmView:
        """Say what an alarm was; it asks for no stop rule any more."""
        acts.acknowledge(alarm_id, answer, account)
        return alarm_view(ledger, alarm_id, now=datetime.now(UTC))

    @routes.post("/alarms/{alarm_id}/comments", status_code=201)
    def comment(alarm_id: _Id, remark: Remark, account: _Physicist) -> AlarmView:
        """Add a comment to an alarm."""
        acts.comment(alarm_id, remark, account)
        return alarm_view(ledger, alarm_id, now=datetime.now(UTC))

    return routes


def behind(view: AlarmView) -> str:
    """Return where the studies behind an alarm are listed."""
    if view.alarm.channel is Channel.ACCOUNTING:
        return f"/accounting/{view.since}"
    asked = {
        "model": view.alarm.model_id,
        "since": view.since.isoformat(),
        "until": view.until.isoformat(),
    }
    if (stratum := view.alarm.stratum) != EVERY:
        asked |= {
            "manufacturer": stratum.manufacturer,
            "scanner": stratum.model_name,
            "software": stratum.software_versions,
        }
    return f"/cases?{urlencode({name: value for name, value in asked.items() if value})}"


def picture(view: AlarmView, language: Language) -> Markup:
    """Return the alarm's chart from some weeks before; empty of what has none."""
    if not view.points:
        return Markup()
    alarm = view.alarm
    sign = 1 if alarm.direction is Direction.UP else -1
    points = tuple(
        Point(
            day=one.day,
            value=sign * one.statistic,
            beyond=one.statistic > one.limit,
            tip=f"{one.day}: {one.statistic:.1f} / {one.limit:.1f}, n = {one.n}",
        )
        for one in view.points
    )
    chart = ControlChart(
        title=called(alarm.chart, language),
        message=alarm.sentence,
        label=say(language, "wall.sum"),
        traces=(Trace(name=say(language, f"wall.{alarm.direction}"), points=points),),
        limits=(Limit(value=sign * view.points[-1].limit, name=say(language, "wall.limit")),),
        baseline=None,
        alarms=(Mark(day=alarm.opened_at.date(), name=alarm.sentence, tip=alarm.sentence),),
        notes=(),
        provisional="",
        first=view.points[0].day,
        last=view.points[-1].day,
    )
    return Markup(control_chart(chart, Look(language=Tongue(language), width=720, height=280)))  # noqa: S704 - the drawing escapes what it is given
