"""Settings to channels, and the postman beside the worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge.beside import beside
from clic_edge.config import read_secret
from clic_edge.notify.lookout import Lookout
from clic_edge.notify.mail import Mail
from clic_edge.notify.postman import ROUND_SECONDS, Patience, Postman
from clic_edge.notify.syslog import Lines
from clic_edge.notify.webhook import Hook
from clic_edge.notify.wording import Letterhead

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from clic_edge.config import Settings
    from clic_edge.ledger import Ledger
    from clic_edge.notify.channel import Channel


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """Return the ways out that a site has. Raises ConfigError ``no-secret``."""
    notify = settings.notify
    head = Letterhead(
        appliance=settings.appliance.name,
        language=settings.appliance.language,
        pages_url=settings.web.url or "",
    )
    found = list["Channel"]()
    if notify.email:
        file = notify.email.password_file
        password = read_secret(file) if file else ""
        found.append(Mail(settings=notify.email, password=password, head=head))
    if notify.webhook:
        secret = read_secret(notify.webhook.secret_file)
        found.append(Hook(settings=notify.webhook, secret=secret, head=head))
    if notify.syslog:
        found.append(Lines(settings=notify.syslog, head=head))
    return tuple(found)


def postman_of(settings: Settings, ledger: Ledger) -> Postman:
    """Return the postman of a site. Raises ConfigError ``no-secret``."""
    patience = Patience(
        pause=timedelta(minutes=settings.notify.pause_minutes),
        give_up_after=timedelta(days=settings.notify.give_up_after_days),
    )
    return Postman(ledger.notices, channels_of(settings), patience)


def delivering(settings: Settings, ledger: Ledger) -> AbstractContextManager[None]:
    """Let notices go out beside what runs within; a server that hangs holds up nothing there.

    Raises ConfigError ``no-secret``.
    """
    notify = settings.notify
    postman = postman_of(settings, ledger)
    lookout = Lookout(
        ledger=ledger,
        appliance=settings.appliance.name,
        folder=settings.appliance.state_dir,
        late_after=timedelta(minutes=notify.late_minutes),
        free_percent=notify.disk_percent,
    )
    return beside("postman", lookout.look, postman.go_round, every_seconds=ROUND_SECONDS)
