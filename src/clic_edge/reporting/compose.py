"""The values of a report as a document, in the reader's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.drawing.numerals import NOTHING
from clic_edge.reporting.compose_charts import alarms_section, charts_section
from clic_edge.reporting.compose_constancy import constancy_section
from clic_edge.reporting.compose_readers import groups_section, readers_section
from clic_edge.reporting.compose_volume import volume_section
from clic_edge.reporting.document import Document, Section, Table, Words
from clic_edge.reporting.voice import moment

if TYPE_CHECKING:
    from clic_edge.board.report import ModelReport
    from clic_edge.reporting.voice import Voice


def compose(report: ModelReport, voice: Voice) -> Document:
    """Return the document of a report; what it does not know comes first."""
    subject = report.subject
    return Document(
        title=voice.say("title", title=subject.title or subject.model_id),
        subtitle=voice.say(
            "subtitle",
            first=report.period.first,
            last=report.period.last,
            version=subject.version,
            appliance=report.appliance,
            made_at=moment(report.made_at),
        ),
        footer=voice.say("footer"),
        language=voice.language,
        sections=(
            _model(report, voice),
            _unknown(report, voice),
            volume_section(report.volume, voice),
            alarms_section(report, voice),
            constancy_section(report, voice),
            readers_section(report, voice),
            groups_section(report, voice),
            charts_section(report, voice),
        ),
    )


def _model(report: ModelReport, voice: Voice) -> Section:
    subject = report.subject
    rows = (
        (voice.say("id"), subject.model_id),
        (voice.say("version"), subject.version),
        (voice.say("manufacturer"), subject.manufacturer or voice.say("not-known")),
        (voice.say("digest"), subject.digest),
        (voice.say("intended-use"), subject.intended_use or voice.say("not-known")),
    )
    states = tuple(
        Words(
            text=voice.say("state-in", pipeline=one.pipeline, state=voice.say(f"state-{one.state}"))
        )
        for one in report.states
    )
    history = Table(
        caption=voice.say("history"),
        columns=tuple(voice.say(key) for key in ("at", "pipeline", "from", "now", "by", "why")),
        rows=tuple(
            (
                moment(one.at),
                one.pipeline,
                voice.say(f"state-{one.was}") if one.was else NOTHING,
                voice.say(f"state-{one.now}"),
                one.person,
                one.reason,
            )
            for one in report.history
        ),
        numbers_from=6,
    )
    facts = Table(caption="", columns=(), rows=rows, numbers_from=2)
    return Section(heading=voice.say("section-model"), blocks=(facts, *states, history))


def _unknown(report: ModelReport, voice: Voice) -> Section:
    said = tuple(
        Words(text=voice.say(f"unknown-{one}"), is_notice=True) for one in report.unknown
    ) or (Words(text=voice.say("everything-known")),)
    return Section(heading=voice.say("section-unknown"), blocks=said)
