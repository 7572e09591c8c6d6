"""The wall of control charts: what stands nearest to its limit first, with all that explains it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.board.references import ChartDesign, ReferenceHead
from clic_edge.domain.annotation import AnnotationKind
from clic_edge.domain.monitoring import EVERY, Channel, Direction, Severity, Stratum

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.board.references import ReferenceBook
    from clic_edge.domain.annotation import Annotation
    from clic_edge.domain.monitoring import Alarm, ChartPoint
    from clic_edge.ledger import Ledger

AT_ONCE: Final = 12
"""Charts on a page; of a long period half as many, since each has more points."""
LONG_DAYS: Final = 120
STRATUM_CHART: Final = "stratum"
"""Of the alarm that a scanner, or its software, is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What part of the wall somebody wants to see."""

    days: int = 90
    reference_id: str = ""
    """The first that is charted, where nothing is said."""
    channel: Channel | None = None
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartDay:
    """One chart's day."""

    day: date
    n: int
    value: float
    """The mean in the feature's unit; of events, their share."""
    statistic: float
    """The largest sum of the day."""
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One direction of a chart."""

    design: ChartDesign
    stands: float
    """The sum after the last point."""
    alarming: bool
    highest: float
    """Of the sum in this period, as a share of its limit."""
    days: tuple[ChartDay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartAlarm:
    """An alarm of one of the charts, or that something came which the reference never had."""

    alarm_id: str
    chart: str
    direction: Direction
    severity: Severity
    opened_at: datetime
    closed_at: datetime | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WallChart:
    """One chart with its sides, up and down."""

    chart: str
    channel: Channel
    n: int
    """Points in this period."""
    sides: tuple[Side, ...]
    alarms: tuple[ChartAlarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What happened on a day: a person noted it, or it was seen in the studies."""

    day: date
    stratum: Stratum
    kind: AnnotationKind
    text: str
    person: str
    """Empty where it was detected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """One part of the wall."""

    first: date
    last: date
    references: tuple[ReferenceHead, ...]
    """All of the model."""
    reference: ReferenceHead | None
    """The one whose charts these are; None where there is none yet."""
    false_alarms_per_year: float
    """That the site allows all charts of one reference together."""
    charts: tuple[WallChart, ...]
    total: int
    """Charts of this reference and channel."""
    page: int
    pages: int
    new_words: tuple[ChartAlarm, ...]
    """What came in this period that the reference never had."""
    notes: tuple[Note, ...]
    others: tuple[Stratum, ...]
    """Scanners without a reference, as far as an alarm has told of them."""


def wall(ledger: Ledger, book: ReferenceBook, digest: str, *, asked: Asked, today: date) -> Wall:
    """Return the charts of one reference, the one that came nearest to its limit first."""
    first = today - timedelta(days=asked.days - 1)
    heads = book.heads(digest)
    alarms = [one for one in ledger.monitoring.alarms() if one.model_digest == digest]
    head = next((one for one in heads if one.reference_id == asked.reference_id), None)
    head = head or _most_alarming(heads, alarms)
    ordered = _ordered(ledger, book, head, channel=asked.channel, first=first) if head else []
    at_once = AT_ONCE if asked.days <= LONG_DAYS else AT_ONCE // 2
    pages = max(1, -(-len(ordered) // at_once))
    page = min(max(1, asked.page), pages)
    shown = ordered[(page - 1) * at_once : page * at_once]
    recent = [one for one in alarms if one.closed_at is None or one.closed_at.date() >= first]
    ours = [one for one in recent if head and one.reference_id == head.reference_id]
    return Wall(
        first=first,
        last=today,
        references=heads,
        reference=head,
        false_alarms_per_year=book.policy.false_alarms_per_year,
        charts=_charts(ledger, head, shown, alarms=ours, since=first) if head else (),
        total=len(ordered),
        page=page,
        pages=pages,
        new_words=tuple(_alarm(one) for one in ours if one.is_event),
        notes=_notes(ledger.annotations.since(first), alarms, head, first=first),
        others=tuple(
            one.stratum
            for one in alarms
            if one.chart == STRATUM_CHART and one.stratum not in {it.stratum for it in heads}
        ),
    )


def _most_alarming(heads: Iterable[ReferenceHead], alarms: Iterable[Alarm]) -> ReferenceHead | None:
    """Return the newest reference with the most open alarms, else the first; None without any."""
    open_ones = Counter(one.reference_id for one in alarms if one.closed_at is None)
    newest = [one for one in heads if one.newest]
    return max(newest, key=lambda one: open_ones[one.reference_id], default=None)


_Ranked = tuple[str, tuple[tuple[ChartDesign, float, int], ...]]


def _ordered(
    ledger: Ledger,
    book: ReferenceBook,
    head: ReferenceHead,
    *,
    channel: Channel | None,
    first: date,
) -> list[_Ranked]:
    """Return each chart with its sides: design, height and number of points."""
    heights = {
        (one.chart, one.direction): (one.highest, one.n)
        for one in ledger.charted.heights(head.reference_id, first)
    }
    charts: dict[str, list[tuple[ChartDesign, float, int]]] = {}
    for design in book.designs(head.reference_id):
        if channel in {None, design.channel}:
            highest, n = heights.get((design.chart, design.direction), (0.0, 0))
            charts.setdefault(design.chart, []).append((design, highest, n))
    return sorted(
        ((name, tuple(sides)) for name, sides in charts.items()),
        key=lambda one: (-max(highest for _, highest, _ in one[1]), one[0]),
    )


def _charts(
    ledger: Ledger,
    head: ReferenceHead,
    shown: Sequence[_Ranked],
    *,
    alarms: Iterable[Alarm],
    since: date,
) -> tuple[WallChart, ...]:
    _, memory = ledger.monitoring.progress(head.reference_id)
    stands = {(one.chart, one.direction): one for one in memory}
    days: dict[tuple[str, Direction], list[ChartDay]] = {}
    for point in ledger.charted.points(head.reference_id, [name for name, _ in shown], since):
        days.setdefault((point.chart, point.direction), []).append(_day(point))
    told: dict[str, list[ChartAlarm]] = {}
    for one in alarms:
        told.setdefault(one.chart, []).append(_alarm(one))
    found = []
    for name, sides in shown:
        made = []
        for design, highest, _ in sides:
            now = stands.get((name, design.direction))
            made.append(
                Side(
                    design=design,
                    stands=now.total if now else 0.0,
                    alarming=bool(now and now.open),
                    highest=highest,
                    days=tuple(days.get((name, design.direction), ())),
                )
            )
        found.append(
            WallChart(
                chart=name,
                channel=sides[0][0].channel,
                n=max(n for _, _, n in sides),
                sides=tuple(made),
                alarms=tuple(told.get(name, ())),
            )
        )
    return tuple(found)


def _day(point: ChartPoint) -> ChartDay:
    return ChartDay(
        day=point.day,
        n=point.n,
        value=point.value,
        statistic=point.statistic,
        limit=point.limit,
    )


def _alarm(one: Alarm) -> ChartAlarm:
    return ChartAlarm(
        alarm_id=one.alarm_id,
        chart=one.chart,
        direction=one.direction,
        severity=one.severity,
        opened_at=one.opened_at,
        closed_at=one.closed_at,
        sentence=one.sentence,
    )


def _notes(
    annotations: Iterable[Annotation],
    alarms: Iterable[Alarm],
    head: ReferenceHead | None,
    *,
    first: date,
) -> tuple[Note, ...]:
    """Return what was noted and what was seen, of the scanner that is charted."""
    noted = [
        Note(day=one.day, stratum=one.stratum, kind=one.kind, text=one.text, person=one.person)
        for one in annotations
    ]
    seen = [
        Note(
            day=one.opened_at.date(),
            stratum=one.stratum,
            kind=AnnotationKind.SOFTWARE,
            text="",
            person="",
        )
        for one in alarms
        if one.chart == STRATUM_CHART and one.opened_at.date() >= first
    ]
    ours = EVERY if head is None else head.stratum
    return tuple(
        sorted(
            (one for one in (*noted, *seen) if _touches(one.stratum, ours)),
            key=lambda one: (one.day, one.text),
        )
    )


def _touches(noted: Stratum, charted: Stratum) -> bool:
    """Whether a note of one scanner says something of another's charts: a new software does."""
    if EVERY in {noted, charted}:
        return True
    return (noted.manufacturer, noted.model_name) == (charted.manufacturer, charted.model_name)
