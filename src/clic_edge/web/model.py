"""`/models/MODEL/DIGEST`: the charts of one model, notes on them, and its references."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from clic_edge.board.models import ModelStatus, model
from clic_edge.board.references import ReferenceHead
from clic_edge.board.wall import Asked, Wall, wall
from clic_edge.domain.account import Account, Role
from clic_edge.domain.annotation import Annotation, AnnotationKind
from clic_edge.domain.monitoring import Channel, Stratum
from clic_edge.drawing.look import Language as Tongue
from clic_edge.drawing.numerals import say_number
from clic_edge.drift.reference import Acceptance
from clic_edge.errors import ConfigError
from clic_edge.pipeline.monitoring import freeze_references
from clic_edge.web.access import account_of, at_least
from clic_edge.web.fields import ONE_LINE, Day, Line
from clic_edge.web.models import Watch
from clic_edge.web.rendering import Pages
from clic_edge.web.wall_charts import cases_of, drawn, rows_of

PERIODS: Final = (30, 90, 365)
_LONGEST_WORD: Final = 256
_Tab = Literal["charts", "window", "readers", "latency"]
_Physicist = Annotated[Account, Depends(at_least(Role.PHYSICIST))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """What stands above every page of one model."""

    model_id: str
    version: str
    digest: str
    tab: _Tab
    statuses: tuple[ModelStatus, ...]
    """In each pipeline."""

    @property
    def path(self) -> str:
        """Of the model's first page."""
        return f"/models/{self.model_id}/{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """A scanner as a person names it; all of them where nothing is said."""

    manufacturer: Annotated[Line, Field(max_length=256)] = ""
    model_name: Annotated[Line, Field(max_length=256)] = ""
    software_versions: Annotated[Line, Field(max_length=256)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A note as a person gives it."""

    day: Day
    kind: AnnotationKind
    text: Line
    stratum: Scanner = Scanner()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A reference as a person wants it."""

    since: Day
    name: Annotated[Line, Field(max_length=64)]
    calibrated: bool = False


def asked_of(
    *,
    days: Annotated[int, Query(ge=1, le=730)] = 90,
    reference: Annotated[str, Query(max_length=64, pattern=ONE_LINE)] = "",
    channel: Annotated[Literal[""] | Channel, Query()] = "",
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
) -> Asked:
    """Return what part of the wall a request asks for."""
    return Asked(days=days, reference_id=reference, channel=channel or None, page=page)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """A model's first page, to be shown again where an act of it failed."""

    watch: Watch
    pages: Pages

    def show(
        self, request: Request, above: Top, *, account: Account, asked: Asked, notice: str = ""
    ) -> Response:
        now, pages = datetime.now(UTC), self.pages
        board = wall(
            self.watch.ledger, self.watch.book, above.digest, asked=asked, today=now.date()
        )
        tongue = Tongue(pages.language(request))
        scanners = [*(one.stratum for one in board.references), *board.others]
        return pages.page(
            request,
            "model.html",
            status=409 if notice else 200,
            top=above,
            board=board,
            asked=asked,
            charts=drawn(board, above, language=pages.language(request)),
            periods=PERIODS,
            scanners=tuple(dict.fromkeys(scanners)),
            cases_of=cases_of,
            rows_of=rows_of,
            figures=lambda value: say_number(value, tongue),
            channels=tuple(one for one in Channel if one is not Channel.ACCOUNTING),
            kinds=tuple(AnnotationKind),
            may_act=account.role.includes(Role.PHYSICIST),
            today=now.date(),
            notice=notice,
        )

    def after(
        self, request: Request, above: Top, *, account: Account, act: Callable[[], object]
    ) -> Response:
        try:
            act()
        except ConfigError as error:
            said = error.sentence
            return self.show(request, above, account=account, asked=Asked(), notice=said)
        return RedirectResponse(above.path, 303)


def router(watch: Watch, pages: Pages) -> APIRouter:
    """Return the routes of a model's first page."""
    routes = APIRouter(dependencies=[Depends(account_of)])
    front = _Front(watch=watch, pages=pages)

    @routes.get("/models/{model_id}/{digest}")
    def charts(
        request: Request,
        above: Annotated[Top, Depends(top_of(watch, "charts"))],
        asked: Annotated[Asked, Depends(asked_of)],
        *,
        account: Annotated[Account, Depends(account_of)],
    ) -> Response:
        return front.show(request, above, account=account, asked=asked)

    @routes.post("/models/{model_id}/{digest}/notes")
    def note(
        request: Request,
        above: Annotated[Top, Depends(top_of(watch, "charts"))],
        noted: Annotated[Noted, Depends(_noted)],
        *,
        account: _Physicist,
    ) -> Response:
        return front.after(
            request, above, account=account, act=lambda: add_note(watch, noted, account)
        )

    @routes.post("/models/{model_id}/{digest}/references")
    def freeze(
        request: Request,
        above: Annotated[Top, Depends(top_of(watch, "charts"))],
        wanted: Annotated[Wanted, Depends(_wanted)],
        *,
        account: _Physicist,
    ) -> Response:
        return front.after(
            request,
            above,
            account=account,
            act=lambda: add_references(watch, above, wanted, account=account),
        )

    return routes


def api(watch: Watch) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models/{model_id}/{digest}")
    def status(above: Annotated[Top, Depends(top_of(watch, "charts"))]) -> Top:
        """Return a model in each of its pipelines."""
        return above

    @routes.get("/models/{model_id}/{digest}/charts")
    def charts(
        above: Annotated[Top, Depends(top_of(watch, "charts"))],
        asked: Annotated[Asked, Depends(asked_of)],
    ) -> Wall:
        """Return charts with their points, what stands nearest to its limit first."""
        today = datetime.now(UTC).date()
        return wall(watch.ledger, watch.book, above.digest, asked=asked, today=today)

    @routes.get("/models/{model_id}/{digest}/references")
    def references(
        above: Annotated[Top, Depends(top_of(watch, "charts"))],
    ) -> tuple[ReferenceHead, ...]:
        """Return the references of a model, without their numbers."""
        return watch.book.heads(above.digest)

    @routes.post("/models/{model_id}/{digest}/references", status_code=201)
    def freeze(
        above: Annotated[Top, Depends(top_of(watch, "charts"))], wanted: Wanted, account: _Physicist
    ) -> tuple[ReferenceHead, ...]:
        """Freeze what a model did since a day as its reference, for each scanner."""
        add_references(watch, above, wanted, account=account)
        return watch.book.heads(above.digest)

    @routes.get("/annotations")
    def notes(since: Day) -> tuple[Annotation, ...]:
        """Return what people noted of scanners since a day."""
        return watch.ledger.annotations.since(since)

    @routes.post("/annotations", status_code=201)
    def note(noted: Noted, account: _Physicist) -> tuple[Annotation, ...]:
        """Note what happened to a scanner on a day; return all notes from that day on."""
        add_note(watch, noted, account)
        return watch.ledger.annotations.since(noted.day)

    return routes


def top_of(watch: Watch, tab: _Tab) -> Callable[[str, str], Top]:
    """Return a dependency that gives the model that a path names.

    It raises ConfigError ``no-such-model``.
    """

    def found(model_id: str, digest: str) -> Top:
        now = datetime.now(UTC)
        pipelines = dict.fromkeys(
            one.placement.pipeline
            for one in watch.ledger.standing.history()
            if (one.placement.model_id, one.placement.digest) == (model_id, digest)
        )
        statuses = [model(watch.ledger, one, digest, now=now) for one in pipelines]
        known = tuple(one for one in statuses if one)
        if not known:
            raise ConfigError("no-such-model", "The history knows no such model; look at /models.")
        return Top(
            model_id=model_id, version=known[0].version, digest=digest, tab=tab, statuses=known
        )

    return found


def add_note(watch: Watch, noted: Noted, account: Account) -> None:
    """Keep a person's note; raises as `AnnotationStore.add`."""
    now = datetime.now(UTC)
    if noted.day > now.date():
        raise ConfigError("annotation-early", "That day has not come yet; note what has happened.")
    annotation = Annotation(
        at=now,
        day=noted.day,
        stratum=Stratum(**asdict(noted.stratum)),
        kind=noted.kind,
        text=noted.text,
        person=account.name,
    )
    watch.ledger.annotations.add(annotation)


def add_references(watch: Watch, above: Top, wanted: Wanted, *, account: Account) -> None:
    """Freeze references as `clic-edge drift reference` does; raises as `freeze_references`."""
    acceptance = Acceptance(
        name=wanted.name.strip() or "acceptance",
        model_id=above.model_id,
        model_version=above.version,
        model_digest=above.digest,
        frozen_at=datetime.now(UTC),
        frozen_by=account.name,
        calibrated=wanted.calibrated,
    )
    since = datetime.combine(wanted.since, datetime.min.time(), UTC)
    freeze_references(watch.ledger, acceptance, since=since - timedelta(microseconds=1))


def _noted(
    day: Annotated[Day, Form()],
    kind: Annotated[AnnotationKind, Form()],
    text: Annotated[Line, Form()],
    *,
    scanner: Annotated[str, Form(max_length=1000, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")] = "",
) -> Noted:
    parts = (*scanner.split("\t"), "", "", "")
    stratum = Scanner(
        manufacturer=parts[0][:_LONGEST_WORD],
        model_name=parts[1][:_LONGEST_WORD],
        software_versions=parts[2][:_LONGEST_WORD],
    )
    return Noted(day=day, kind=kind, text=text, stratum=stratum)


def _wanted(
    since: Annotated[Day, Form()],
    name: Annotated[Line, Form(max_length=64)] = "",
    *,
    calibrated: Annotated[bool, Form()] = False,
) -> Wanted:
    return Wanted(since=since, name=name, calibrated=calibrated)
