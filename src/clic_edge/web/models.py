"""`/models`: each model's state in each pipeline, how far challengers agree, and the history."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from clic_edge.domain.standing import ModelState, StateEvent
from clic_edge.errors import Defect
from clic_edge.ledger import Ledger
from clic_edge.pipeline.acceptance import Shadowed, shadowed
from clic_edge.web.pages import page

LISTED: Final = 10
"""Cases that are listed; the log has them all."""
_ORDER: Final = tuple(reversed(ModelState))
_MEANING: Final = {
    ModelState.INSTALLED: "does nothing",
    ModelState.TESTING: "runs by hand only",
    ModelState.SHADOW: "sees every case, tells nobody",
    ModelState.ACTIVE: "its results are delivered",
    ModelState.SUSPENDED: "its cases are refused, and readers are told",
    ModelState.RETIRED: "never runs again",
}


def router(ledger: Ledger) -> APIRouter:
    """Return the route; it reads, and shows no identity, because the ledger has none."""
    routes = APIRouter()

    @routes.get("/models")
    def models() -> Response:
        return page("Models", "\n".join(_body(ledger)), wide=True)

    return routes


def _body(ledger: Ledger) -> Iterator[str]:
    events = ledger.standing.history()
    if not events:
        yield "<p>No model has entered the history yet; the worker's first start writes it.</p>"
        return
    for pipeline in sorted({one.placement.pipeline for one in events}):
        yield f"<h2>Pipeline {escape(pipeline)}</h2>"
        standing = ledger.standing.standing(pipeline).values()
        newest = sorted(standing, key=lambda one: (_ORDER.index(one.now), -one.seq))
        yield _states(pipeline, newest)
        for one in newest:
            if one.now is ModelState.SHADOW and (seen := shadowed(ledger, one.placement)):
                yield from _agreement(one, seen)
    yield "<h2>History</h2>"
    yield _chain(ledger)
    yield _history(events)


def _states(pipeline: str, newest: Iterable[StateEvent]) -> str:
    rows = [
        (
            f"<b>{one.now}</b>: {_MEANING[one.now]}",
            f"{escape(_name(one))} <code>{one.placement.digest[:12]}</code>",
            _moment(one.at),
            escape(one.person),
            escape(one.reason),
        )
        for one in newest
    ]
    return _table(f"Models of {pipeline}", ("State", "Model", "Since (UTC)", "By", "Why"), rows)


def _agreement(event: StateEvent, seen: Shadowed) -> Iterator[str]:
    name = _name(event)
    yield f"<h3>{escape(name)} beside the active model</h3>"
    yield (
        f"<p>Since {_moment(seen.since)} UTC it has seen {_count(seen.cases, 'case')}. It refused "
        f"{_count(seen.refused, 'series', 'series')}, and broke at "
        f"{_count(seen.broken, 'series', 'series')}.</p>"
    )
    if not seen.agreement and not seen.differences:
        yield "<p>Nothing has been compared yet.</p>"
    if seen.agreement:
        rows = [(one.case_id, one.segment, one.value) for one in seen.agreement]
        yield _medians(name, "Segment", "Dice", medians=seen.median_dice)
        yield _farthest("Where they agree least", ("Segment", "Dice"), rows)
    if seen.differences:
        rows = [(one.case_id, one.category, one.value) for one in seen.differences]
        yield _medians(
            name, "Category", "difference of probability", medians=seen.median_difference
        )
        yield _farthest("Where they differ most", ("Category", "Difference"), rows)


def _medians(name: str, what: str, number: str, *, medians: Mapping[str, float]) -> str:
    rows = [(escape(one), f"{value:.3f}") for one, value in medians.items()]
    caption = f"Agreement of {name} with the active model"
    return _table(caption, (what, f"Median {number}"), rows)


def _farthest(
    caption: str, columns: tuple[str, str], compared: Sequence[tuple[str, str, float]]
) -> str:
    rows = [
        (
            f'<a href="/open/{escape(case_id)}">{escape(case_id)}</a>',
            escape(what),
            f"{value:.3f}",
        )
        for case_id, what, value in compared[:LISTED]
    ]
    return _table(caption, ("Case", *columns), rows)


def _chain(ledger: Ledger) -> str:
    try:
        return f"<p>The chain of {_count(ledger.standing.verify(), 'move')} is whole.</p>"
    except Defect as defect:
        return f'<p role="alert"><b>{escape(defect.sentence)}</b></p>'


def _history(events: tuple[StateEvent, ...]) -> str:
    rows = [
        (
            _moment(one.at),
            escape(one.placement.pipeline),
            escape(_name(one)),
            f"{one.was or 'new'} → {one.now}",
            escape(one.person),
            escape(one.reason),
        )
        for one in reversed(events)
    ]
    columns = ("At (UTC)", "Pipeline", "Model", "Move", "By", "Why")
    return _table("Every move, the newest first", columns, rows)


def _table(caption: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table that scrolls by keyboard where it is wider than the page; cells are HTML."""
    heads = "".join(f'<th scope="col">{escape(one)}</th>' for one in columns)
    cells = "".join(f"<tr>{''.join(f'<td>{one}</td>' for one in row)}</tr>" for row in rows)
    named = escape(caption)
    return (
        f'<div class="scrolls" tabindex="0" role="region" aria-label="{named}"><table>'
        f"<caption>{named}</caption><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody>"
        "</table></div>"
    )


def _name(event: StateEvent) -> str:
    return f"{event.placement.model_id} {event.placement.version}"


def _moment(at: datetime) -> str:
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{at:%Y-%m-%d %H:%M}</time>'


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
