"""What readers said, and how subgroups fared, in words and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.drawing.agreement import BlandAltman, Pair, bland_altman
from clic_edge.drawing.bars import Pareto, Reason, pareto
from clic_edge.drawing.forest import Forest, Row, forest
from clic_edge.reporting.document import Picture, Section, Table, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.board.report import ModelReport
    from clic_edge.board.report_groups import Expected, GroupReport, Interval
    from clic_edge.board.report_readers import Agreement, Share, VolumeAgreement
    from clic_edge.board.report_truth import TruthReport
    from clic_edge.reporting.document import Block
    from clic_edge.reporting.voice import Voice

_BY = {
    "input.sex": "group-sex",
    "input.age_band_years": "group-age",
    "input.model_name": "group-scanner",
}
_OLDEST = 90
_OVERRIDDEN = "overridden"


def readers_section(report: ModelReport, voice: Voice) -> Section:
    """Return the section of agreement, observed and expected."""
    blocks = (
        *_agreement(report.agreement, voice),
        *_truths(report.truths, voice),
        *_expected(report.expected, voice),
    )
    return Section(heading=voice.say("section-readers"), blocks=blocks)


def _agreement(one: Agreement, voice: Voice) -> Iterator[Block]:
    if not one.assessed:
        yield Words(text=voice.say("no-readers"), is_notice=True)
        return
    verdicts = (("accepted", one.accepted), ("modified", one.modified), ("rejected", one.rejected))
    yield Table(
        caption=voice.say("verdicts"),
        columns=(voice.say("what"), voice.say("number")),
        rows=tuple((voice.say(key), voice.count(count)) for key, count in verdicts),
    )
    share = one.overridden
    said = voice.say(
        "overridden",
        share=voice.share(share.share),
        low=voice.share(share.lower),
        high=voice.share(share.upper),
        count=share.count,
        n=share.n,
    )
    yield Words(text=said)
    if one.reasons:
        yield _reasons(one, voice)
    if one.dice:
        yield _dice(one, voice)
    yield from (_bland_altman(it, voice) for it in one.volumes)


def _reasons(one: Agreement, voice: Voice) -> Picture:
    named = tuple(
        Reason(name=voice.say(f"reason-{it.reason}"), count=it.count) for it in one.reasons
    )
    total = sum(it.count for it in named)
    message = voice.say("reasons-message", reason=named[0].name, count=named[0].count, total=total)
    drawn = Pareto(title=voice.say("reasons"), message=message, reasons=named)
    return Picture(svg=pareto(drawn, voice.look), message=message)


def _dice(one: Agreement, voice: Voice) -> Table:
    return Table(
        caption=voice.say("dice"),
        columns=tuple(voice.say(key) for key in ("finding", "n", "median", "quartiles", "lowest")),
        rows=tuple(
            (
                it.finding,
                voice.count(it.n),
                voice.number(it.median),
                voice.between(it.p25, it.p75),
                voice.number(it.lowest),
            )
            for it in one.dice
        ),
    )


def _bland_altman(one: VolumeAgreement, voice: Voice) -> Picture:
    message = voice.say(
        "bland-altman-message",
        bias=voice.number(one.bias),
        low=voice.number(one.lower),
        high=voice.number(one.upper),
        n=one.n,
    )
    drawn = BlandAltman(
        title=voice.say("bland-altman", finding=one.finding),
        message=message,
        label_across=voice.say("mean-mm3"),
        label=voice.say("difference-mm3"),
        pairs=tuple(Pair(mean=it.mean, difference=it.difference) for it in one.pairs),
        bias=one.bias,
        lower=one.lower,
        upper=one.upper,
    )
    return Picture(svg=bland_altman(drawn, voice.look), message=f"{drawn.title}: {message}")


def _truths(found: tuple[TruthReport, ...], voice: Voice) -> Iterator[Block]:
    def told(one: Share) -> str:
        low, high = voice.share(one.lower), voice.share(one.upper)
        share = voice.share(one.share)
        return voice.say("of-n", count=one.count, n=one.n, share=share, low=low, high=high)

    if found:
        keys = ("finding", "sensitivity", "specificity", "n", "bias")
        rows = tuple(
            (
                one.finding,
                told(one.sensitivity),
                told(one.specificity),
                voice.count(one.pairs),
                f"{voice.number(one.bias)} ({voice.between(one.lower, one.upper)})",
            )
            for one in found
        )
        columns = tuple(voice.say(key) for key in keys)
        yield Table(caption=voice.say("truths"), columns=columns, rows=rows)


def _expected(found: tuple[Expected, ...], voice: Voice) -> Iterator[Block]:
    def told(one: Interval) -> str:
        return f"{voice.number(one.value)} ({voice.between(one.lower, one.upper)})"

    if found:
        yield Table(
            caption=voice.say("expected"),
            columns=tuple(
                voice.say(key) for key in ("category", "n", "sensitivity", "specificity", "auc")
            ),
            rows=tuple(
                (
                    one.category,
                    voice.count(one.n),
                    told(one.sensitivity),
                    told(one.specificity),
                    told(one.auc),
                )
                for one in found
            ),
        )


def groups_section(report: ModelReport, voice: Voice) -> Section:
    """Return the section of the subgroups."""
    blocks = tuple(_groups(report, voice)) or (Words(text=voice.say("nothing")),)
    return Section(heading=voice.say("section-groups"), blocks=blocks)


def _groups(report: ModelReport, voice: Voice) -> Iterator[Block]:
    overridden = tuple(one for one in report.groups if one.what == _OVERRIDDEN)
    if overridden:
        yield _forest(overridden, report, voice)
    for by, key in _BY.items():
        own = [one for one in report.groups if one.by == by]
        if own:
            yield Table(
                caption=voice.say(key),
                columns=tuple(voice.say(it) for it in ("group", "what", "n", "value", "interval")),
                rows=tuple(_row(one, report.smallest_group, voice) for one in own),
                numbers_from=2,
            )


def _row(one: GroupReport, smallest: int, voice: Voice) -> tuple[str, ...]:
    what = voice.say("override-rate") if one.what == _OVERRIDDEN else one.what
    if not one.is_enough:
        words = voice.say("too-few", smallest=smallest)
        return (_named(one, voice), what, voice.count(one.n), words, "")
    if one.what == _OVERRIDDEN:
        low, high = voice.share(one.lower), voice.share(one.upper)
        return (
            _named(one, voice),
            what,
            voice.count(one.n),
            voice.share(one.value),
            voice.say("to", low=low, high=high),
        )
    return (
        _named(one, voice),
        what,
        voice.count(one.n),
        voice.number(one.value),
        voice.between(one.lower, one.upper),
    )


def _named(one: GroupReport, voice: Voice) -> str:
    if one.by != "input.age_band_years":
        return one.group
    first = int(float(one.group))
    key = "age-oldest" if first >= _OLDEST else "from-age"
    return voice.say(key, first=first, last=first + 9)


def _forest(found: tuple[GroupReport, ...], report: ModelReport, voice: Voice) -> Picture:
    message = voice.say("groups-message", smallest=report.smallest_group)
    drawn = Forest(
        title=voice.say("override-rate"),
        message=message,
        overall=report.agreement.overridden.share,
        rows=tuple(
            Row(
                name=_named(one, voice),
                n=one.n,
                value=one.value,
                lower=one.lower,
                upper=one.upper,
                words="" if one.is_enough else voice.say("too-few", smallest=report.smallest_group),
            )
            for one in found
        ),
    )
    return Picture(svg=forest(drawn, voice.look), message=message)
