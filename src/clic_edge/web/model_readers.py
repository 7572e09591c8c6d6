"""`/models/MODEL/DIGEST/readers`: agreement with readers, and whether probabilities hold."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from markupsafe import Markup
from starlette.responses import Response

from clic_edge.board.readers import Calibration, DiceValues, Readers, readers
from clic_edge.board.report_readers import VolumeAgreement
from clic_edge.drawing.agreement import BlandAltman, Pair, bland_altman
from clic_edge.drawing.bars import Pareto, Reason, pareto
from clic_edge.drawing.histogram import Group, Histogram, histogram
from clic_edge.drawing.look import Language as Tongue
from clic_edge.drawing.look import Look
from clic_edge.drawing.numerals import say_number, say_share
from clic_edge.drawing.reliability import Bin, Reliability, reliability
from clic_edge.web.access import account_of
from clic_edge.web.model import PERIODS, Top, top_of
from clic_edge.web.models import Watch
from clic_edge.web.rendering import Pages
from clic_edge.web.words import Language, say

_Days = Annotated[int, Query(ge=1, le=730)]


def router(watch: Watch, pages: Pages) -> APIRouter:
    """Return the route."""
    routes = APIRouter(dependencies=[Depends(account_of)])

    @routes.get("/models/{model_id}/{digest}/readers")
    def agree(
        request: Request,
        above: Annotated[Top, Depends(top_of(watch, "readers"))],
        days: _Days = 90,
    ) -> Response:
        language = pages.language(request)
        tongue = Tongue(language)
        board = readers(watch.ledger, above.digest, days=days, now=datetime.now(UTC))
        return pages.page(
            request,
            "model_readers.html",
            top=above,
            board=board,
            days=days,
            periods=PERIODS,
            charts=_drawn(board, language),
            figures=lambda value: say_number(value, tongue),
            share=lambda value: say_share(value, tongue),
        )

    return routes


def api(watch: Watch) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models/{model_id}/{digest}/readers")
    def agree(
        above: Annotated[Top, Depends(top_of(watch, "readers"))], days: _Days = 90
    ) -> Readers:
        """Return what readers said of a model, how far they drew otherwise, and its calibration."""
        return readers(watch.ledger, above.digest, days=days, now=datetime.now(UTC))

    return routes


def _drawn(board: Readers, language: Language) -> Mapping[str, Markup]:
    """Return the picture of each part of the page, by its name."""
    drawn = {"reasons": _reasons(board, language)}
    drawn |= {f"dice {one.finding}": _dice(one, language) for one in board.dice}
    drawn |= {f"volumes {one.finding}": _volumes(one, language) for one in board.agreement.volumes}
    drawn |= {f"calibration {one.category}": _curve(one, language) for one in board.calibration}
    # The drawing escapes what it is given.
    return {name: Markup(one) for name, one in drawn.items()}  # noqa: S704 - as said above


def _look(language: Language) -> Look:
    return Look(language=Tongue(language), width=440)


def _reasons(board: Readers, language: Language) -> str:
    reasons = tuple(
        Reason(name=say(language, f"readers.reason_{one.reason}"), count=one.count)
        for one in board.agreement.reasons
    )
    said = say(language, "readers.reasons_message", n=sum(one.count for one in reasons))
    return pareto(
        Pareto(title=say(language, "readers.reasons"), message=said, reasons=reasons),
        _look(language),
    )


def _dice(found: DiceValues, language: Language) -> str:
    median = sorted(found.values)[len(found.values) // 2]
    message = say(
        language,
        "readers.dice_message",
        n=len(found.values),
        median=say_number(median, Tongue(language)),
    )
    name = f"{found.finding} (n = {len(found.values)})"
    return histogram(
        Histogram(
            title=say(language, "readers.dice", finding=found.finding),
            message=message,
            label="Dice",
            groups=(Group(name=name, values=found.values),),
            bins=20,
        ),
        _look(language),
    )


def _volumes(found: VolumeAgreement, language: Language) -> str:
    message = say(
        language,
        "readers.volumes_message",
        n=found.n,
        bias=say_number(found.bias, Tongue(language)),
    )
    return bland_altman(
        BlandAltman(
            title=say(language, "readers.volumes", finding=found.finding),
            message=message,
            label_across=say(language, "readers.volume_mean"),
            label=say(language, "readers.volume_difference"),
            pairs=tuple(Pair(mean=one.mean, difference=one.difference) for one in found.pairs),
            bias=found.bias,
            lower=found.lower,
            upper=found.upper,
        ),
        _look(language),
    )


def _curve(found: Calibration, language: Language) -> str:
    bins = tuple(
        Bin(
            predicted=one.predicted,
            observed=one.observed.share,
            lower=one.observed.lower,
            upper=one.observed.upper,
            n=one.observed.n,
            tip=f"n = {one.observed.n}",
        )
        for one in found.bins
        if one.observed.share is not None
        and one.observed.lower is not None
        and one.observed.upper is not None
    )
    message = say(
        language,
        "readers.calibration_message",
        n=found.n,
        error=say_number(found.error, Tongue(language)),
    )
    return reliability(
        Reliability(
            title=say(language, "readers.calibration", category=found.category),
            message=message,
            label_across=say(language, "readers.predicted"),
            label=say(language, "readers.observed"),
            bins=bins,
        ),
        _look(language),
    )
