"""`/assess/…`: where a reader accepts, modifies or rejects a result, by the link in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from clic_edge.domain.assessment import Assessment, Reason, Verdict
from clic_edge.errors import Refusal
from clic_edge.pipeline.assessing import Assessable, Desk
from clic_edge.web.access import account_of
from clic_edge.web.pages import page, plain_page

LARGEST_FORM: Final = 65_536
"""Bytes; a finding takes some two hundred."""

_INCOMPLETE: Final = {"reader-unnamed", "nothing-assessed", "form-too-large"}
"""What the reader can mend by filling in the form again."""

_WORDS: Final = {
    "title": ("Assess an AI result", "Vurdér et AI-resultat"),
    "about": (
        "Say of each finding whether it is right. What you leave open stays open.",
        "Sig om hvert fund, om det er rigtigt. Det, som du springer over, står åbent.",
    ),
    "accepted": ("Accept", "Godkend"),
    "modified": ("Right after correction", "Rigtigt efter rettelse"),
    "rejected": ("Reject", "Afvis"),
    "reason": ("Why", "Hvorfor"),
    "none": ("—", "—"),
    "boundary": ("right place, wrong outline", "rigtigt sted, forkert omrids"),
    "missed": ("something was not found", "noget blev ikke fundet"),
    "false-positive": ("what was found is not there", "det fundne er der ikke"),
    "wrong-structure": ("another structure or side", "en anden struktur eller side"),
    "image-quality": ("the images are not good enough", "billederne er ikke gode nok"),
    "other": ("other", "andet"),
    "reader": ("Your name, as it stands in the record", "Dit navn, som det skal stå i journalen"),
    "send": ("Store the assessment", "Gem vurderingen"),
    "said": ("Said before", "Sagt før"),
    "stored": ("Stored", "Gemt"),
    "thanks": (
        "The assessment is stored, and goes to the PACS as a structured report.",
        "Vurderingen er gemt og sendes til PACS som struktureret rapport.",
    ),
    "again": ("This was said before; nothing changed.", "Det var sagt før; intet er ændret."),
    "back": ("Back to the findings", "Tilbage til fundene"),
}


def router(desk: Desk) -> APIRouter:
    """Return the routes of the assessment page."""
    routes = APIRouter(prefix="/assess")
    words = {name: pair[desk.language == "da"] for name, pair in _WORDS.items()}

    @routes.get("/{token}")
    def ask(token: str, request: Request) -> Response:
        results = desk.open(token)
        said = desk.said(results[0].case_id)
        filled = _Filled(name=account_of(request).name, csrf=request.state.csrf)
        body = "\n".join(_form(results, said, filled, words=words))
        return page(words["title"], body, language=desk.language)

    @routes.post("/{token}")
    async def store(token: str, request: Request) -> Response:
        try:
            form = parse_qs(await _body(request))
            answers = _answers(form)
            reader = form.get("reader", [""])[0]
            new = await run_in_threadpool(
                desk.submit,
                token,
                reader=reader,
                answers=answers,
                at=datetime.now(UTC),
                by=account_of(request).name,
            )
        except Refusal as refusal:
            if refusal.code not in _INCOMPLETE:
                raise
            return plain_page(words["title"], refusal.sentence, status=422)
        body = (
            f'<p role="status">{escape(words["thanks" if new else "again"])}</p>'
            f'<p><a href="">{escape(words["back"])}</a></p>'
        )
        return page(words["stored"], body, language=desk.language)

    return routes


async def _body(request: Request) -> str:
    taken = b""
    async for piece in request.stream():
        taken += piece
        if len(taken) > LARGEST_FORM:
            raise Refusal("form-too-large", "The form is larger than this page can send.")
    return taken.decode("utf-8", "replace")


def _answers(form: Mapping[str, list[str]]) -> dict[str, tuple[Verdict, Reason | None]]:
    """Return verdict and reason by Tracking UID; a reason belongs to what is not accepted."""
    answers = {}
    for name, (value, *_) in form.items():
        field, _, uid = name.partition(" ")
        if field == "verdict" and value in list(Verdict):
            verdict = Verdict(value)
            why = form.get(f"reason {uid}", [""])[0]
            wanted = verdict is not Verdict.ACCEPTED and why in list(Reason)
            answers[uid] = verdict, Reason(why) if wanted else None
    return answers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """What a form holds before the reader begins."""

    name: str
    csrf: str


def _form(
    results: tuple[Assessable, ...],
    said: tuple[Assessment, ...],
    filled: _Filled,
    *,
    words: Mapping[str, str],
) -> Iterator[str]:
    yield f'<p>{escape(words["about"])}</p><form method="post">'
    yield f'<input type="hidden" name="csrf" value="{escape(filled.csrf)}">'
    several = len({one.result.series_instance_uid for one in results}) < len(results)
    for result in results:
        image = f" (#{result.image_number})" if several else ""
        for finding in result.findings:
            numbers = escape(", ".join(finding.numbers))
            yield f"<fieldset><legend><b>{escape(finding.name)}</b>{image} {numbers}</legend>"
            yield from (_choice(finding.tracking_uid, one, words) for one in Verdict)
            yield _reasons(finding.tracking_uid, words)
            yield "</fieldset>"
    yield (
        f"<p><label>{escape(words['reader'])}<br>"
        f'<input name="reader" required maxlength="64" value="{escape(filled.name)}"></label></p>'
        f"<p><button>{escape(words['send'])}</button></p></form>"
    )
    if said:
        yield f"<h2>{escape(words['said'])}</h2><ul>"
        yield from (_line(one, words) for one in said)
        yield "</ul>"


def _choice(uid: str, verdict: Verdict, words: Mapping[str, str]) -> str:
    name = escape(f"verdict {uid}")
    return (
        f'<label><input type="radio" name="{name}" value="{verdict}"> '
        f"{escape(words[verdict])}</label> "
    )


def _reasons(uid: str, words: Mapping[str, str]) -> str:
    options = "".join(f'<option value="{one}">{escape(words[one])}</option>' for one in Reason)
    return (
        f'<p><label>{escape(words["reason"])} <select name="{escape(f"reason {uid}")}">'
        f'<option value="">{words["none"]}</option>{options}</select></label></p>'
    )


def _line(one: Assessment, words: Mapping[str, str]) -> str:
    why = f" ({escape(words[one.reason])})" if one.reason else ""
    verdict = escape(words[one.verdict])
    return f"<li>{one.at:%Y-%m-%d %H:%M} UTC: {escape(one.finding)}: {verdict}{why}</li>"
