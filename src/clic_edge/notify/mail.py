"""Mail by SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314)."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from clic_edge.domain.notice import Urgency
from clic_edge.errors import Transient
from clic_edge.notify.wording import body, subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.config import Email
    from clic_edge.domain.notice import Notice
    from clic_edge.notify.wording import Letterhead

_TIMEOUT_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail server that takes notices."""

    settings: Email
    password: str = field(repr=False)
    head: Letterhead
    name: str = "email"
    gathers: bool = True

    @property
    def at_least(self) -> Urgency:
        """The least urgent that it takes."""
        return Urgency(self.settings.at_least)

    def send(self, notices: Sequence[Notice]) -> None:
        """Tell notices in one mail.

        Raises
        ------
        Transient
            ``mail-refused``: the server answered, and did not take it; ``mail-away``.

        """
        try:
            with self._server() as server:
                if self.settings.username:
                    server.login(self.settings.username, self.password)
                server.send_message(self._message(notices))
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
            raise Transient(
                "mail-refused", "The mail server did not take a notice; see its own log."
            ) from error
        # ValueError: a name, a password or an address that the protocol has no letters for.
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise Transient(
                "mail-away", "The mail server can't be reached, or is not whom it should be."
            ) from error

    def _server(self) -> smtplib.SMTP:
        where = (self.settings.host, self.settings.port)
        if self.settings.security == "none":
            return smtplib.SMTP(*where, timeout=_TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=self.settings.ca_file)
        if self.settings.security == "tls":
            return smtplib.SMTP_SSL(*where, timeout=_TIMEOUT_SECONDS, context=context)
        server = smtplib.SMTP(*where, timeout=_TIMEOUT_SECONDS)
        try:
            server.starttls(context=context)
        except (OSError, smtplib.SMTPException):
            server.close()
            raise
        return server

    def _message(self, notices: Sequence[Notice]) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = subject(notices, self.head)
        message["From"] = self.settings.sender
        message["To"] = ", ".join(self.settings.recipients)
        message["Date"] = format_datetime(notices[-1].at)
        # The same notices have the same name, so that a mail sent twice is seen to be one.
        named = hashlib.sha256("".join(one.notice_id for one in notices).encode()).hexdigest()
        message["Message-ID"] = f"<{named[:32]}@{self.settings.sender.partition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body(notices, self.head))
        return message
