"""The pages of alarms and of who did what, and the API beside them, over a ledger with both."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from ledgers import make_tables
from observed import BEGIN, STEP, Habit, acceptance, log, observations
from signed_in import PHYSICIST, VIEWER, browser

from clic_edge.domain.monitoring import Channel, Response, RootCause, Severity
from clic_edge.domain.standing import Placement
from clic_edge.drift.plan import Policy
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.records import AuditEvent
from clic_edge.ledger.schema import audit_events, model_events
from clic_edge.pipeline.monitoring import freeze_references, patrol
from clic_edge.web import alarms, api, audit
from clic_edge.web.rendering import Pages

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

HOSTILE = "<script>alert(1)</script>"
RULES = Policy(responses=((Channel.IMAGE, Response.SUSPEND),))
FROZEN_AT = BEGIN + 320 * STEP


def rung() -> Engine:
    """Return a ledger in which a chart has rung and its stop rule was obeyed."""
    engine = open_engine("sqlite://")
    make_tables(engine)
    ledger = Ledger.on(engine)
    log(engine, observations(320))
    freeze_references(ledger, acceptance(frozen_at=FROZEN_AT))
    place = Placement(pipeline="organs", model_id="organs", version="1", digest="d" * 64)
    ledger.standing.enrol(place, [], decides=True)
    habit = Habit(shift={"input.noise": 2.0}, words={"input.sequence_variant": HOSTILE})
    log(engine, observations(30, begin=FROZEN_AT + STEP, habit=habit, seed=2))
    patrol(ledger, RULES, now=FROZEN_AT + 40 * STEP)
    return engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return rung()


@pytest.fixture(scope="module")
def ledger(engine: Engine) -> Ledger:
    return Ledger.on(engine)


@pytest.fixture(scope="module")
def app(ledger: Ledger) -> FastAPI:
    app = FastAPI()
    for one in (alarms, audit):
        app.include_router(one.router(ledger, Pages()))
    app.mount(api.PATH, api.create_api([alarms.api(ledger), audit.api(ledger)]))
    return app


def noise(ledger: Ledger) -> str:
    (one,) = [it for it in ledger.monitoring.alarms() if it.chart == "input.noise"]
    return one.alarm_id


# --- alarms


def test_the_list_filters_by_state_model_and_severity(app: FastAPI, ledger: Ledger) -> None:
    client, known = browser(app, VIEWER), ledger.monitoring.alarms()

    def listed(query: str) -> set[str]:
        return set(re.findall(r'href="/alarms/([0-9a-f]+)"', client.get(f"/alarms{query}").text))

    assert listed("") == listed("?state=open&model=organs") == {one.alarm_id for one in known}
    assert listed("?state=closed") == listed("?model=lungs") == set()
    action = {one.alarm_id for one in known if one.severity is Severity.ACTION}
    assert listed("?severity=action&state=all") == action != set()
    assert client.get("/alarms?severity=loud").status_code == 400
    assert "could not be understood" in client.get("/alarms?severity=loud").text


def test_pages_of_the_list_follow_each_other_to_the_end(app: FastAPI, ledger: Ledger) -> None:
    client, found, query = browser(app, VIEWER), list[str](), "?limit=1"
    while query:
        text = client.get(f"/alarms{query}").text
        found += re.findall(r'href="/alarms/([0-9a-f]+)"', text)
        following = re.findall(r'rel="next" href="/alarms([^"]+)"', text)
        query = following[0].replace("&amp;", "&") if following else ""
    known = ledger.monitoring.alarms()
    ordered = sorted(known, key=lambda one: (one.opened_at, one.alarm_id), reverse=True)
    assert found == [one.alarm_id for one in ordered]


@pytest.mark.parametrize("language", ["en", "da"])
def test_an_alarm_shows_chart_studies_and_what_the_stop_rule_did(
    app: FastAPI, ledger: Ledger, language: str
) -> None:
    cookie = {"cookie": f"language={language}"}
    text = browser(app, VIEWER).get(f"/alarms/{noise(ledger)}", headers=cookie).text
    assert "input.noise rose to" in text
    assert "<svg" in text
    assert '<a href="/cases?model=organs&amp;since=' in text
    assert "organs: suspended" in text
    assert "/acknowledge" not in text, "a viewer reads"
    assert "/acknowledge" in browser(app, PHYSICIST).get(f"/alarms/{noise(ledger)}").text


def test_a_word_that_a_file_brought_is_shown_as_text(app: FastAPI) -> None:
    text = browser(app).get("/alarms").text
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_a_physicist_acknowledges_and_comments_and_the_trail_says_so() -> None:
    ledger = Ledger.on(rung())
    app = FastAPI()
    app.include_router(alarms.router(ledger, Pages()))
    alarm_id = noise(ledger)
    given = {"reason": " A new coil. ", "cause": "acquisition"}
    viewer, physicist = browser(app, VIEWER), browser(app, PHYSICIST)
    assert viewer.post(f"/alarms/{alarm_id}/acknowledge", data=given).status_code == 403
    for wrong in ({"reason": " "}, {"cause": "weather"}):
        answer = physicist.post(f"/alarms/{alarm_id}/acknowledge", data=given | wrong)
        assert answer.status_code == 422
    assert ledger.monitoring.acknowledgements() == ()
    answer = physicist.post(f"/alarms/{alarm_id}/acknowledge", data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/alarms/{alarm_id}")
    physicist.post(f"/alarms/{alarm_id}/comment", data={"text": "The vendor comes on Monday."})
    (word,) = ledger.monitoring.acknowledgements()
    assert (word.person, word.reason, word.cause) == (
        PHYSICIST.name,
        "A new coil.",
        RootCause.ACQUISITION,
    )
    text = physicist.get(f"/alarms/{alarm_id}").text
    assert "The vendor comes on Monday." in text
    assert "acquisition: scanner" in text
    trail = [
        (one.action, one.person, one.detail)
        for one in ledger.audit.page(audit.Asked(person=PHYSICIST.name).wanted, limit=9)
        if one.action.startswith("alarm-")
    ]
    assert trail == [
        ("alarm-commented", PHYSICIST.name, "The vendor comes on Monday."),
        ("alarm-acknowledged", PHYSICIST.name, "acquisition: A new coil."),
    ]


def test_programs_read_acknowledge_and_comment() -> None:
    ledger = Ledger.on(rung())
    app = FastAPI()
    app.mount(api.PATH, api.create_api([alarms.api(ledger)]))
    client, path = browser(app, PHYSICIST), f"{api.PATH}/alarms"
    first = client.get(path, params={"limit": 1}).json()
    rest = client.get(path, params={"after": first["after"]}).json()
    assert len(first["alarms"]) + len(rest["alarms"]) == len(ledger.monitoring.alarms())
    one = f"{path}/{noise(ledger)}"
    answer = {"reason": "A new coil.", "cause": "acquisition"}
    assert browser(app, VIEWER).post(f"{one}/acknowledge", json=answer).status_code == 403
    said = client.post(f"{one}/acknowledge", json=answer).json()
    assert [it["deed"] for it in said["history"]][-1] == "acknowledged"
    assert said["points"]
    assert client.post(f"{one}/comments", json={"text": "Monday."}).status_code == 201
    assert client.post(f"{one}/comments", json={"text": " "}).status_code == 422
    assert client.get(f"{path}/{'0' * 16}").status_code == 404
    assert client.get(path, params={"after": "x"}).status_code == 422


# --- audit


def test_who_did_what_is_filtered_by_person_action_case_model_and_day(
    app: FastAPI, ledger: Ledger
) -> None:
    now = datetime.now(UTC)
    ledger.records.note(
        AuditEvent(at=now, case_id="abc" * 20, action="retried", person="Bo", detail="=2+2")
    )
    client = browser(app)

    def found(**query: object) -> list[dict[str, object]]:
        return client.get(f"{api.PATH}/audit", params=query).json()["deeds"]

    assert [one["detail"] for one in found(person="Bo")] == ["=2+2"]
    assert {one["action"] for one in found(action="reference-frozen")} == {"reference-frozen"}
    assert {one["person"] for one in found(action="reference-frozen")} == {"Ida Fysiker"}
    assert [one["action"] for one in found(case="abcabc")] == ["retried"]
    assert {one["trail"] for one in found(model="organs 1")} == {"audit", "models"}
    assert [one["person"] for one in found(action="model-suspended")] == ["stop rule"]
    assert found(since=f"{now + timedelta(days=1):%Y-%m-%d}") == []
    assert "retried" in {one["action"] for one in found(until=f"{now:%Y-%m-%d}")}


def test_every_deed_is_on_exactly_one_page(app: FastAPI, engine: Engine) -> None:
    client, after, seen = browser(app), None, list[tuple[str, int]]()
    while True:
        query = {"limit": 3} | ({"after": after} if after else {})
        page = client.get(f"{api.PATH}/audit", params=query).json()
        seen += [(one["trail"], one["number"]) for one in page["deeds"]]
        after = page["after"]
        if after is None:
            break
    with engine.connect() as connection:
        expected = sum(
            connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in (audit_events, model_events)
        )
    assert len(seen) == len(set(seen)) == expected


def test_the_trail_is_taken_out_as_csv_without_formulas(app: FastAPI, ledger: Ledger) -> None:
    now = datetime.now(UTC)
    ledger.records.note(AuditEvent(at=now, action="noted", person="Formula", detail="=1+1"))
    answer = browser(app).get("/audit/export.csv?person=Formula")
    assert "attachment" in answer.headers["content-disposition"]
    head, row = list(csv.reader(io.StringIO(answer.text)))
    assert head[:3] == ["at", "person", "action"]
    assert row[head.index("detail")] == "'=1+1"


def test_the_page_proves_the_chain_and_says_where_it_is_broken() -> None:
    engine = rung()
    app = FastAPI()
    app.include_router(audit.router(Ledger.on(engine), Pages()))
    assert "The chain of the moves of models is whole (2)." in browser(app).get("/audit").text
    with engine.begin() as connection:
        first = model_events.c.seq == 1
        connection.execute(model_events.update().where(first).values(person="Somebody"))
    assert "was changed, or one before it is missing" in browser(app).get("/audit").text


@pytest.mark.parametrize("path", ["/audit", "/audit/export.csv", f"{api.PATH}/audit"])
def test_what_colleagues_did_is_for_physicists(app: FastAPI, path: str) -> None:
    assert browser(app, None).get(path).status_code == 401
    assert browser(app, VIEWER).get(path).status_code == 403
    assert browser(app).get(path).status_code == 200


@pytest.mark.parametrize("path", ["/alarms", f"{api.PATH}/alarms"])
def test_nobody_sees_alarms_without_logging_in(app: FastAPI, path: str) -> None:
    assert browser(app, None).get(path).status_code == 401
