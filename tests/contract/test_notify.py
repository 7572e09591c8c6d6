"""Notices out, against real servers: told once, without an identity, tried again for days."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest
from collectors import (
    Certificate,
    datagram_collector,
    mail_server,
    make_certificate,
    stream_collector,
    web_server,
)
from ledgers import make_tables
from observed import BEGIN, STEP, Habit, acceptance, log, observations
from servers import wait_for
from source import ROOT
from typer.testing import CliRunner

from clic_edge.beside import beside
from clic_edge.cli import app, console
from clic_edge.config import Email, Syslog, Webhook, load_settings
from clic_edge.domain.case import CaseState
from clic_edge.domain.monitoring import Channel as Moved
from clic_edge.domain.monitoring import Response
from clic_edge.domain.notice import Notice, NoticeKind, SendingState, Urgency
from clic_edge.domain.standing import Placement
from clic_edge.drift.plan import Policy
from clic_edge.errors import ConfigError, Transient
from clic_edge.ledger import Ledger
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.notices import HOLD, LOOKS_BACK
from clic_edge.notify.lookout import Lookout
from clic_edge.notify.mail import Mail
from clic_edge.notify.post import delivering
from clic_edge.notify.postman import Patience, Postman
from clic_edge.notify.syslog import Lines
from clic_edge.notify.webhook import SIGNATURE, Hook, signature
from clic_edge.notify.wording import Letterhead, sentence
from clic_edge.pipeline.monitoring import freeze_references, patrol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.engine import Engine

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEAD = Letterhead(appliance="edge-1", pages_url="https://edge.example")
PATIENCE = Patience(pause=timedelta(minutes=15), give_up_after=timedelta(days=3))
CANARY = "JENSEN^CANARY"


def notice(
    key: str = "1", *, kind: NoticeKind = NoticeKind.CASE_QUARANTINED, at: datetime = NOW
) -> Notice:
    return Notice(
        kind=kind,
        key=key,
        at=at,
        urgency=Urgency.ERROR,
        about="brain",
        detail="network-not-finite",
        path=f"/cases/{key}",
    )


class Memory:
    """A channel that keeps what it was given, or is away."""

    def __init__(self, *, gathers: bool = True, name: str = "memory") -> None:
        self.name = name
        self.gathers = gathers
        self.at_least = Urgency.INFO
        self.is_away = False
        self.letters: list[list[str]] = []

    def send(self, notices: Sequence[Notice]) -> None:
        """Keep them."""
        if self.is_away:
            raise Transient("mail-away", "It is away.")
        self.letters.append([one.key for one in notices])


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger.on(engine)


def postman(ledger: Ledger, *channels: Memory) -> Postman:
    return Postman(ledger.notices, channels, PATIENCE)


def states(ledger: Ledger) -> dict[str, SendingState]:
    return {one.notice.key: one.state for one in ledger.notices.newest()}


# --- the outbox


def test_a_notice_goes_once_through_each_channel(ledger: Ledger) -> None:
    mail, lines = Memory(), Memory(name="lines", gathers=False)
    assert ledger.notices.put(notice())
    assert not ledger.notices.put(notice(at=NOW + timedelta(hours=1)))
    for minutes in (0, 1, 60):
        postman(ledger, mail, lines).go_round(NOW + timedelta(minutes=minutes))
    assert mail.letters == lines.letters == [["1"]]


def test_what_is_told_at_length_is_cut_and_hinders_nothing(ledger: Ledger) -> None:
    longest = replace(notice("k" * 300), about="a" * 200, detail="d" * 200)
    assert ledger.notices.put(longest)
    assert not ledger.notices.put(longest)


def test_two_boxes_on_one_ledger_send_each_notice_once(ledger: Ledger) -> None:
    box = Memory(gathers=False)
    for number in range(20):
        ledger.notices.put(notice(str(number)))

    def go(_: int) -> None:
        postman(ledger, box).go_round(NOW)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(go, range(4)))
    assert sorted(int(key) for (key,) in box.letters) == list(range(20))


def test_a_burst_of_one_kind_is_one_message_and_then_a_pause(ledger: Ledger) -> None:
    box = Memory()
    ledger.notices.put(notice("first"))
    postman(ledger, box).go_round(NOW)
    for number in range(40):
        ledger.notices.put(notice(f"{number:02}", at=NOW + timedelta(seconds=number)))
    ledger.notices.put(notice("disk", kind=NoticeKind.DISK_LOW))
    for minutes in range(1, 31):
        postman(ledger, box).go_round(NOW + timedelta(minutes=minutes))
    assert box.letters == [["first"], ["disk"], [f"{number:02}" for number in range(40)]]


def test_what_can_not_be_sent_is_tried_again_with_longer_waits_and_given_up(
    ledger: Ledger,
) -> None:
    box = Memory()
    box.is_away = True
    ledger.notices.put(notice())
    tries, now = [], NOW
    while (state := states(ledger).get("1", SendingState.WAITING)) is SendingState.WAITING:
        postman(ledger, box).go_round(now)
        (sending,) = ledger.notices.newest()
        tries.append(sending.attempts)
        now = max(sending.next_at, now + timedelta(seconds=10))
    assert state is SendingState.GIVEN_UP
    assert timedelta(days=3) < now - NOW < timedelta(days=3, hours=3)
    assert len(tries) < 3 * 24 + 15
    (count,) = ledger.notices.counts()
    assert (count.channel, count.state, count.count) == ("memory", SendingState.GIVEN_UP, 1)
    box.is_away = False
    postman(ledger, box).go_round(now + timedelta(days=1))
    assert box.letters == []


def test_when_a_server_is_back_everything_that_waited_goes(ledger: Ledger) -> None:
    box = Memory()
    box.is_away = True
    for hours in range(3):
        at = NOW + timedelta(hours=hours)
        ledger.notices.put(notice(str(hours), at=at))
        postman(ledger, box).go_round(at)
    box.is_away = False
    postman(ledger, box).go_round(NOW + timedelta(hours=4))
    assert box.letters == [["0", "1", "2"]]
    assert set(states(ledger).values()) == {SendingState.SENT}


def test_what_a_sender_took_and_died_with_comes_again(ledger: Ledger) -> None:
    class Dying(Memory):
        def send(self, notices: Sequence[Notice]) -> None:
            del notices
            raise KeyboardInterrupt

    ledger.notices.put(notice())
    with pytest.raises(KeyboardInterrupt):
        postman(ledger, Dying()).go_round(NOW)
    box = Memory()
    postman(ledger, box).go_round(NOW + HOLD / 2)
    assert box.letters == []
    postman(ledger, box).go_round(NOW + HOLD)
    assert box.letters == [["1"]]


def test_a_channel_gets_what_is_urgent_enough_and_a_new_one_nothing_that_is_old(
    ledger: Ledger,
) -> None:
    box = Memory()
    box.at_least = Urgency.WARNING
    ledger.notices.put(notice("old", at=NOW - LOOKS_BACK - timedelta(minutes=1)))
    ledger.notices.put(
        Notice(kind=NoticeKind.ALARM_CLOSED, key="calm", at=NOW, urgency=Urgency.INFO)
    )
    ledger.notices.put(notice("urgent"))
    postman(ledger, box).go_round(NOW)
    assert box.letters == [["urgent"]]


def test_a_clock_that_ran_ahead_holds_no_notice_back(ledger: Ledger) -> None:
    box, year = Memory(), timedelta(days=365)
    ledger.notices.put(notice("ahead", at=NOW + year))
    postman(ledger, box).go_round(NOW + year)
    box.is_away = True
    ledger.notices.put(notice("held", at=NOW + year, kind=NoticeKind.DISK_LOW))
    postman(ledger, box).go_round(NOW + year)
    box.is_away = False
    ledger.notices.put(notice("back"))
    postman(ledger, box).go_round(NOW)
    assert sorted(box.letters) == [["ahead"], ["back"], ["held"]]


# --- what is told of


def quarantined(ledger: Ledger) -> None:
    admission = Admission(case_id="c" * 64, study_id="s", pipeline="brain", series_ids=("x",))
    ledger.cases.admit(admission)
    case = ledger.cases.begin(admission.case_id, 0)
    assert case
    ledger.cases.close(case, CaseState.QUARANTINED, code="bad-network", reason=f"of {CANARY}")


def test_alarms_stopped_models_and_quarantined_cases_are_told_without_an_identity(
    ledger: Ledger, engine: Engine
) -> None:
    studies = 320
    frozen_at = BEGIN + studies * STEP
    log(engine, observations(studies))
    freeze_references(ledger, acceptance(frozen_at=frozen_at))
    place = Placement(pipeline="organs", model_id="organs", version="1", digest="d" * 64)
    ledger.standing.enrol(place, [], decides=True)
    # A protocol that somebody named after a patient, as a word that the reference never had.
    habit = Habit(shift={"input.noise": 2.0}, words={"input.sequence_variant": CANARY})
    log(engine, observations(30, begin=frozen_at + STEP, habit=habit, seed=2))
    log(engine, observations(140, begin=frozen_at + 41 * STEP, seed=3))
    rules = Policy(responses=((Moved.IMAGE, Response.SUSPEND),))
    for _ in range(2):
        patrol(ledger, rules, now=frozen_at + 200 * STEP)
    patrol(ledger, rules, now=frozen_at)
    quarantined(ledger)
    box = Memory()
    kept: list[Notice] = []
    box.send = kept.extend  # type: ignore[method-assign]  # the notices themselves
    postman(ledger, box).go_round(datetime.now(UTC))
    kinds = {(one.kind, one.about, one.detail) for one in kept}
    assert {
        (NoticeKind.ALARM_OPENED, "organs", "input.noise up"),
        (NoticeKind.ALARM_CONFIRMED, "organs", "input.noise up"),
        (NoticeKind.ALARM_CLOSED, "organs", "input.noise up"),
        (NoticeKind.ALARM_OPENED, "organs", "input.sequence_variant up"),
        (NoticeKind.MODEL_STOPPED, "organs 1 (organs)", "suspended"),
        (NoticeKind.CASE_QUARANTINED, "brain", "bad-network"),
        (NoticeKind.WATCH_FAILED, "", "clock-behind"),
    } <= kinds
    assert any(CANARY in one.sentence for one in ledger.monitoring.alarms()), "it could have told"
    assert CANARY not in repr(kept)
    assert len({one.notice_id for one in kept}) == len(kept)


def test_the_lookout_tells_of_late_cases_and_a_full_disk_once_a_day(
    ledger: Ledger, tmp_path: Path
) -> None:
    lookout = Lookout(
        ledger=ledger,
        appliance="edge-1",
        folder=tmp_path,
        late_after=timedelta(hours=1),
        free_percent=100,
    )
    ledger.cases.admit(
        Admission(case_id="c" * 64, study_id="s", pipeline="brain", series_ids=("x",))
    )
    now = datetime.now(UTC).replace(hour=12)
    later = now + timedelta(days=1)
    lookout.look(now.replace(hour=0) - timedelta(days=1))
    for minutes in (0, 10, 20):
        lookout.look(later + timedelta(minutes=minutes))
    box = Memory(gathers=False)
    postman(ledger, box).go_round(later + timedelta(hours=1))
    days = [f"{one:%Y-%m-%d}" for one in (now - timedelta(days=1), later)]
    assert sorted(key for (key,) in box.letters) == sorted(
        [days[1], *(f"edge-1 {day}" for day in days)]
    )


def test_every_kind_has_its_words_in_both_languages() -> None:
    for kind in NoticeKind:
        told = {
            language: sentence(notice(kind=kind), Letterhead(appliance="edge", language=language))
            for language in ("en", "da")
        }
        assert told["en"] != told["da"]
        assert all(one.endswith(".") and "{" not in one for one in told.values())


def test_a_folder_that_is_away_holds_up_no_notice(ledger: Ledger, tmp_path: Path) -> None:
    lookout = Lookout(
        ledger=ledger,
        appliance="edge-1",
        folder=tmp_path / "unmounted",
        late_after=timedelta(),
        free_percent=10,
    )
    memory = Memory()
    ledger.notices.put(notice(at=datetime.now(UTC)))
    goes_round = postman(ledger, memory).go_round
    with beside("test", lookout.look, goes_round, every_seconds=1):
        wait_for(lambda: bool(memory.letters), "the notice goes out")


# --- the channels


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def mail(port: int, **settings: object) -> Mail:
    given = {"sender": "edge@hospital.example", "recipients": ["it@hospital.example", "b@c.dk"]}
    given |= {"password_file": "mail-password"} if "username" in settings else {}
    email = Email.model_validate({"host": "localhost", "port": port} | given | settings)
    return Mail(settings=email, password="secret", head=HEAD)  # noqa: S106 - of the test's server


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_goes_encrypted_with_login_links_and_counts(
    certificate: Certificate, security: str
) -> None:
    with mail_server(**{security: certificate.context}) as box:
        channel = mail(
            box.port,
            security=security,
            username="edge",
            ca_file=certificate.certificate,
        )
        channel.send([notice("1"), notice("2")])
    assert box.encrypted == [True]
    assert box.logins == ["\0edge\0secret"]
    assert box.envelopes == [("edge@hospital.example", ("it@hospital.example", "b@c.dk"))]
    message = message_from_bytes(box.mails[0], policy=policy.default)
    assert message["Subject"] == (
        "[edge-1] 2 × A case of brain waits for a person (network-not-finite)."
    )
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content()
    assert "See https://edge.example/cases/1" in text
    assert "See https://edge.example/cases/2" in text


def test_the_same_notices_have_the_same_name_and_a_long_burst_is_counted() -> None:
    with mail_server() as box:
        for _ in range(2):
            mail(box.port, security="none").send([notice(str(one)) for one in range(50)])
    first, second = (message_from_bytes(one, policy=policy.default) for one in box.mails)
    assert first["Message-ID"] == second["Message-ID"]
    assert "and 20 more" in first.get_content()


def hindrance(channel: Mail | Hook | Lines) -> str:
    with pytest.raises(Transient) as caught:
        channel.send([notice()])
    return caught.value.code


def test_no_mail_goes_to_a_server_that_is_away_refuses_or_is_not_the_right_one(
    certificate: Certificate,
) -> None:
    with mail_server() as box:
        box.refuses = True
        assert hindrance(mail(box.port, security="none")) == "mail-refused"
        assert hindrance(mail(box.port)) == "mail-away", "it offers no encryption"
    assert hindrance(mail(box.port, security="none")) == "mail-away"
    with mail_server(starttls=certificate.context) as box:
        assert hindrance(mail(box.port, username="edge")) == "mail-away", "nobody vouches for it"
        assert box.logins == []
    assert box.mails == []


@pytest.mark.parametrize("wrong", ["password", "host"])
def test_what_no_mail_protocol_can_say_hinders_that_channel_and_no_other(
    certificate: Certificate, wrong: str
) -> None:
    with mail_server(starttls=certificate.context) as box:
        told = {"username": "edge", "ca_file": certificate.certificate}
        settings = mail(box.port, **told).settings
        if wrong == "host":
            settings = settings.model_copy(update={"host": "mail..hospital.example"})
        channel = Mail(settings=settings, password="rødgrød med fløde", head=HEAD)  # noqa: S106 - of the test's server
        assert hindrance(channel) == "mail-away"


def test_a_collector_whose_name_is_none_hinders_that_channel_and_no_other() -> None:
    settings = Syslog.model_validate({"transport": "udp", "host": "log..hospital.example"})
    assert hindrance(Lines(settings=settings, head=HEAD)) == "syslog-away"


def hook(url: str, certificate: Certificate | None = None) -> Hook:
    settings = {"url": url, "secret_file": "secret"}
    if certificate:
        settings["ca_file"] = str(certificate.certificate)
    return Hook(settings=Webhook.model_validate(settings), secret="s3cret", head=HEAD)  # noqa: S106 - as above


def test_a_post_is_signed_over_its_moment_and_its_bytes(certificate: Certificate) -> None:
    before = int(time.time())
    with web_server(certificate.context) as server:
        hook(server.url, certificate).send([notice("1"), notice("2")])
    (post,) = server.posts
    found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", post.headers[SIGNATURE.lower()])
    assert found
    assert before <= int(found[1]) <= time.time()
    ours = hmac.new(b"s3cret", found[1].encode() + b"." + post.body, hashlib.sha256).hexdigest()
    assert ours == found[2]
    assert signature("s3cret", post.body, at=0) != post.headers[SIGNATURE.lower()]
    content = json.loads(post.body)
    assert content["appliance"] == "edge-1"
    assert [one["link"] for one in content["notices"]] == [
        "https://edge.example/cases/1",
        "https://edge.example/cases/2",
    ]
    assert content["notices"][0]["kind"] == "case-quarantined"


def test_a_hook_that_refuses_leads_elsewhere_or_is_not_the_right_one_is_tried_again(
    certificate: Certificate,
) -> None:
    with web_server() as server:
        for server.answers in (302, 401, 500):
            assert hindrance(hook(server.url)) == "webhook-refused"
        assert len(server.posts) == 3, "nobody follows it elsewhere"
    assert hindrance(hook(server.url)) == "webhook-away"
    with web_server(certificate.context) as server:
        assert hindrance(hook(server.url)) == "webhook-away"
        assert server.posts == []


def lines(**settings: object) -> Lines:
    return Lines(settings=Syslog.model_validate(settings), head=HEAD)


LINE = re.compile(
    rb"<131>1 2026-11-21T12:00:00\.000000Z \S+ clic-edge \d+ case-quarantined "
    rb'\[notice@32473 id="[0-9a-f]{32}" box="edge-1" about="brain" detail="network-not-finite" '
    rb'link="https://edge.example/cases/1"\] '
    rb"\xef\xbb\xbfA case of brain waits for a person \(network-not-finite\)\."
)


def test_a_line_of_syslog_is_as_rfc_5424_has_it(tmp_path: Path) -> None:
    with datagram_collector() as collector:
        lines(transport="udp", port=collector.getsockname()[1]).send([notice()])
        assert LINE.fullmatch(collector.recv(4096))
    with datagram_collector(tmp_path / "log") as collector:
        lines(path=str(tmp_path / "log")).send([notice()])
        assert LINE.fullmatch(collector.recv(4096))
    odd = Notice(kind=NoticeKind.TEST, key="", at=NOW, urgency=Urgency.INFO, about='a"]\\\nb')
    told = lines().line(odd)
    assert told.startswith(b"<134>1 ")
    assert b'about="a\\"\\]\\\\b"' in told


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_lines_over_a_stream_are_counted(certificate: Certificate, transport: str) -> None:
    tls = certificate.context if transport == "tls" else None
    with stream_collector(tls) as (port, brought):
        channel = lines(
            transport=transport, host="localhost", port=port, ca_file=certificate.certificate
        )
        channel.send([notice(), notice()])
        wait_for(lambda: bool(brought), "the collector has read to the end")
    length, _, rest = brought[0].partition(b" ")
    first = rest[: int(length)]
    assert LINE.fullmatch(first)
    assert brought[0] == 2 * (length + b" " + first)


def test_a_collector_that_is_away_or_not_the_right_one_gets_nothing(
    certificate: Certificate, tmp_path: Path
) -> None:
    assert hindrance(lines(path=str(tmp_path / "nothing"))) == "syslog-away"
    with stream_collector(certificate.context) as (port, brought):
        assert hindrance(lines(transport="tls", host="localhost", port=port)) == "syslog-away"
    assert hindrance(lines(transport="tcp", host="localhost", port=port)) == "syslog-away"
    assert brought == []


# --- beside the worker, and by hand


@pytest.fixture
def bench(tmp_path: Path) -> tuple[Path, Ledger]:
    """Return the settings of a site without channels, and its ledger."""
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(
        f'[appliance]\nstate_dir = "."\nmodels = "{ROOT}/models"\n'
        f'pipelines = "{ROOT}/configs/pipelines"\ndeid_profiles = "{ROOT}/configs/deid"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "out"\n'
    )
    engine = open_engine(f"sqlite:////{tmp_path / 'clic-edge.sqlite'}")
    make_tables(engine)
    return settings, Ledger.on(engine)


def with_hook(settings: Path, url: str) -> None:
    (settings.parent / "secret").write_text("s3cret\n")
    with settings.open("a") as file:
        file.write(f'[notify.webhook]\nurl = "{url}"\nsecret_file = "secret"\n')


def test_beside_the_worker_notices_go_out_by_themselves(bench: tuple[Path, Ledger]) -> None:
    settings, ledger = bench
    now = datetime.now(UTC)
    with web_server() as server:
        with_hook(settings, server.url)
        for key in ("1", "2"):
            ledger.notices.put(notice(key, at=now))
        with delivering(load_settings(settings), ledger):
            wait_for(lambda: bool(server.posts), "the notices come")
    keys = {one["link"] or one["id"] for one in json.loads(server.posts[0].body)["notices"]}
    assert keys == {notice("1").notice_id, notice("2").notice_id}


def test_the_commands_try_each_channel_and_say_what_became_of_notices(
    bench: tuple[Path, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.stdout, "width", 200)
    settings, ledger = bench

    def run(*words: str) -> tuple[int, str]:
        ran = CliRunner().invoke(app, ["-c", str(settings), "notify", *words])
        return ran.exit_code, ran.output

    assert run("test")[0] == 0
    with web_server() as server:
        with_hook(settings, server.url)
        assert run("test")[0] == 0
        server.answers = 500
        code, told = run("test")
    assert (code, len(server.posts)) == (Transient.exit_code, 2)
    assert "The webhook answered 500." in told
    assert json.loads(server.posts[0].body)["notices"][0]["kind"] == "test"
    ledger.notices.put(notice())
    box = Memory()
    box.is_away = True
    postman(ledger, box).go_round(NOW)
    status = run("status")[1]
    assert "waiting" in status
    assert "mail-away" in status
    assert "case-quarantined" in status


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('[notify.email]\nhost = "h"\nsender = "a"\nrecipients = ["b@c"]', "sender"),
        ('[notify.email]\nhost = "h"\nsender = "a@b"\nrecipients = ["b@c,d@e"]', "recipients"),
        (
            (
                '[notify.email]\nhost = "h"\nsender = "a@b"\nrecipients = ["b@c"]\n'
                'security = "none"\nusername = "u"\npassword_file = "p"'
            ),
            "security",
        ),
        ('[notify.webhook]\nurl = "http://elsewhere.example"\nsecret_file = "s"', "https"),
    ],
)
def test_settings_that_would_tell_in_the_open_are_refused(
    bench: tuple[Path, Ledger], table: str, key: str
) -> None:
    settings, _ = bench
    settings.write_text(f"{settings.read_text()}{table}\n")
    with pytest.raises(ConfigError, match=key):
        load_settings(settings)
