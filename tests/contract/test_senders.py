"""Who may send: the list in the ledger, and the door that asks it."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from signed_in import browser

from clic_edge.board.senders import senders
from clic_edge.cli import console
from clic_edge.domain.account import Account, Role
from clic_edge.domain.sender import Sender
from clic_edge.errors import ConfigError, Transient
from clic_edge.ledger import Ledger
from clic_edge.ledger import senders as table
from clic_edge.pacs.connected import connected
from clic_edge.pipeline.senders import Answer, Doorkeeper
from clic_edge.web import senders as page
from clic_edge.web.rendering import Pages

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from clic_edge.ledger.senders import SenderStore

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CT = ("CT1", "192.0.2.7")


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger.on(engine)


def sender(ae_title: str = "CT1", address: str = "192.0.2.7", name: str = "CT 1, room 4") -> Sender:
    """Return a sender that Ida allows."""
    return Sender(
        ae_title=ae_title,
        address=address,
        first_at=NOW,
        last_at=NOW,
        instances=0,
        name=name,
        reason="ticket 12",
        allowed_by="Ida",
        allowed_at=NOW,
    )


def test_who_was_seen_is_counted_allowed_and_forgotten_with_who_decided(ledger: Ledger) -> None:
    for instances, minutes in ((3, 0), (4, 5)):
        ledger.senders.saw(*CT, instances=instances, at=NOW + timedelta(minutes=minutes))
    (seen,) = ledger.senders.all()
    assert (seen.instances, seen.last_at - seen.first_at) == (7, timedelta(minutes=5))
    assert not seen.is_allowed
    ledger.senders.allow(sender())
    (allowed,) = ledger.senders.all()
    assert (allowed.is_allowed, allowed.instances, allowed.first_at) == (True, 7, NOW)
    assert ledger.senders.allowed() == {CT}
    ledger.senders.forget(*CT, by="Bo", at=NOW)
    assert ledger.senders.all() == ()
    told = [(one.action, one.person, one.about, one.detail) for one in ledger.records.audit("")]
    assert told == [
        ("sender-allowed", "Ida", "sender CT1 192.0.2.7", "CT 1, room 4: ticket 12"),
        ("sender-forgotten", "Bo", "sender CT1 192.0.2.7", "CT 1, room 4"),
    ]


def test_an_allowed_ae_title_at_another_address_is_told(ledger: Ledger) -> None:
    ledger.senders.allow(sender())
    ledger.senders.saw("CT1", "192.0.2.66", instances=1, at=NOW)
    ledger.senders.saw("MR1", "192.0.2.8", instances=1, at=NOW)
    told = {(row.ae_title, row.address) for row in senders(ledger) if row.is_elsewhere}
    assert told == {("CT1", "192.0.2.66")}


def test_who_is_not_known_can_not_be_forgotten(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="No sender"):
        ledger.senders.forget(*CT, by="Bo", at=NOW)


@pytest.mark.parametrize("title", ["[/red]CT", ":smile:", "CT@192.0.2.7", "CT\x1b[2J"])
def test_no_ae_title_spoils_the_list_or_is_allowed_as_another(
    ledger: Ledger, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = door(ledger)
    asked.answer(title, "192.0.2.66")
    asked.write_down()
    (seen,) = ledger.senders.all()
    assert seen.ae_title == title.replace("\x1b", "?")
    monkeypatch.setattr(console.stdout, "width", 80)
    with console.stdout.capture() as told:
        console.table("senders", ("AE title",), [(seen.ae_title,)])
    assert seen.ae_title in told.get()
    app = FastAPI()
    app.include_router(page.router(ledger, Pages()))
    form = {"sender": f"{seen.ae_title}@{seen.address}", "name": "CT", "reason": "new"}
    administrator = Account(name="Ada", role=Role.ADMINISTRATOR)
    assert browser(app, administrator).post("/senders/allow", data=form).status_code == 303
    assert ledger.senders.allowed() == {(seen.ae_title, seen.address)}


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 201])
def test_nobody_is_allowed_without_a_name(ledger: Ledger, name: str) -> None:
    with pytest.raises(ConfigError, match="what it is and why"):
        ledger.senders.allow(sender(name=name))
    assert ledger.senders.all() == ()


def test_whoever_knocks_under_ever_new_names_fills_no_disk(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MOST_STRANGERS", 5)
    ledger.senders.allow(sender())
    for number in range(20):
        at = NOW + timedelta(seconds=number)
        ledger.senders.saw(f"X{number}", "192.0.2.66", instances=1, at=at)
    left = ledger.senders.all()
    assert [one.ae_title for one in left] == [*(f"X{n}" for n in range(19, 14, -1)), "CT1"]


def door(ledger: Ledger, *, takes_all: bool = False) -> Doorkeeper:
    """Return the door of a site that lists one PACS."""
    return Doorkeeper(lambda: ledger.senders, listed=[("PACS", "192.0.2.1")], takes_all=takes_all)


def test_the_door_lets_in_who_is_listed_or_allowed_and_nobody_else(ledger: Ledger) -> None:
    ledger.senders.allow(sender())
    asked = door(ledger)
    assert asked.answer(*CT) is Answer.SUCCESS
    assert asked.answer("PACS", "192.0.2.1") is Answer.SUCCESS
    assert asked.answer("CT1", "192.0.2.66", CT[1]) is Answer.SUCCESS  # one of both it is
    for stranger in (("CT1", "192.0.2.1"), ("PACS", "192.0.2.7"), ("", ""), ("CT1",)):
        assert asked.answer(*stranger) is Answer.NOT_AUTHORIZED


def test_who_was_let_in_is_not_asked_about_for_a_moment_and_who_was_not_each_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, taking = door(ledger), door(ledger, takes_all=True)
    assert asked.answer("PACS", "192.0.2.1") is Answer.SUCCESS
    assert asked.answer("CT1", "192.0.2.9") is Answer.NOT_AUTHORIZED
    assert taking.answer("CT1", "192.0.2.9") is Answer.SUCCESS
    moment = time.monotonic()
    monkeypatch.setattr("clic_edge.pipeline.senders.time.monotonic", lambda: moment)
    asked.answer("PACS", "192.0.2.1")
    assert asked.has_just_let_in("PACS")
    assert not asked.has_just_let_in("CT1")
    assert not taking.has_just_let_in("CT1"), "each of its images is counted"
    moment += 0.3
    assert not asked.has_just_let_in("PACS")


def test_of_several_who_are_connected_the_one_that_nobody_knows_is_remembered(
    ledger: Ledger,
) -> None:
    ledger.senders.allow(sender())
    asked = door(ledger)
    assert asked.answer("MR1", CT[1], "192.0.2.66") is Answer.NOT_AUTHORIZED
    asked.write_down()
    assert [one.address for one in ledger.senders.all()] == ["192.0.2.66", CT[1]]


def test_the_kernel_knows_who_is_connected_to_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connected(port) == frozenset()
        with socket.create_connection(("127.0.0.1", port)):
            assert connected(port) == {"127.0.0.1"}


def test_a_site_that_takes_all_remembers_who_came_all_the_same(ledger: Ledger) -> None:
    ledger.senders.allow(sender())
    asked = door(ledger, takes_all=True)
    assert [asked.answer(*one) for one in (CT, ("MR1", "192.0.2.8"), ("X",))] == [
        Answer.SUCCESS
    ] * 3
    asked.write_down()
    assert {one.ae_title: one.instances for one in ledger.senders.all()} == {"CT1": 0, "MR1": 1}


def test_strangers_are_asked_to_come_again_while_nobody_can_tell_who_may_send() -> None:
    def away() -> SenderStore:
        raise Transient("database-away", "It is away.")

    asked = Doorkeeper(away, listed=[CT], takes_all=False)
    assert asked.answer(*CT) is Answer.SUCCESS
    assert asked.answer("MR1", "192.0.2.8") is Answer.OUT_OF_RESOURCES


def test_who_was_allowed_goes_on_while_the_ledger_is_away(ledger: Ledger) -> None:
    ledger.senders.allow(sender())
    stores = [ledger.senders]

    def store() -> SenderStore:
        if not stores:
            raise sa.exc.OperationalError("", None, Exception())
        return stores[0]

    asked = Doorkeeper(store, listed=(), takes_all=False)
    assert asked.answer(*CT) is Answer.SUCCESS
    stores.clear()
    asked._read_at -= 3600
    assert asked.answer(*CT) is Answer.SUCCESS
    assert asked.answer("MR1", "192.0.2.8") is Answer.NOT_AUTHORIZED
    asked.write_down()  # is kept for the next time
    stores.append(ledger.senders)
    asked.write_down()
    assert ("MR1", 1) in {(one.ae_title, one.instances) for one in ledger.senders.all()}
