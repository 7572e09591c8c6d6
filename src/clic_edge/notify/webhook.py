"""A webhook: JSON by POST, signed with HMAC-SHA256 over its moment and its bytes."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx

from clic_edge.domain.notice import Urgency
from clic_edge.errors import Transient
from clic_edge.notify.wording import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.config import Webhook
    from clic_edge.domain.notice import Notice
    from clic_edge.notify.wording import Letterhead

SIGNATURE: Final = "X-Clic-Edge-Signature"
"""``t=SECONDS,v1=HEX``: HMAC-SHA256 over ``SECONDS.BODY``; refuse what is minutes old."""
_TIMEOUT_SECONDS: Final = 20.0


def signature(secret: str, body: bytes, *, at: int) -> str:
    """Return the value of the header for a body at a moment, in seconds since 1970."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A server that takes notices."""

    settings: Webhook
    secret: str = field(repr=False)
    head: Letterhead
    name: str = "webhook"
    gathers: bool = True

    @property
    def at_least(self) -> Urgency:
        """The least urgent that it takes."""
        return Urgency(self.settings.at_least)

    def send(self, notices: Sequence[Notice]) -> None:
        """Tell notices in one POST.

        Raises
        ------
        Transient
            ``webhook-refused``: the answer is not 2xx; ``webhook-away``.

        """
        content = self._content(notices)
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(self.secret, content, at=int(time.time())),
        }
        try:
            context = ssl.create_default_context(cafile=self.settings.ca_file)
            answer = httpx.post(
                self.settings.url,
                content=content,
                headers=headers,
                verify=context,
                timeout=_TIMEOUT_SECONDS,
                follow_redirects=False,
            )
        except (OSError, httpx.HTTPError) as error:
            raise Transient(
                "webhook-away", "The webhook can't be reached, or is not whom it should be."
            ) from error
        if not answer.is_success:
            raise Transient("webhook-refused", f"The webhook answered {answer.status_code}.")

    def _content(self, notices: Sequence[Notice]) -> bytes:
        told = [
            {
                "id": one.notice_id,
                "kind": one.kind,
                "urgency": one.urgency,
                "at": one.at.isoformat(),
                "about": one.about,
                "detail": one.detail,
                "sentence": sentence(one, self.head),
                "link": self.head.link(one),
            }
            for one in notices
        ]
        return json.dumps({"appliance": self.head.appliance, "notices": told}).encode()
