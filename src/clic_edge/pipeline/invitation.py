"""The link by which the reader of a result, and nobody else, may say what it is worth."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from clic_edge.deid.page_key import PageKey


def invitation(key: PageKey, case_id: str) -> str:
    """Return the last part of the link by which a reader may judge a case, and nobody can guess."""
    mark = hmac.digest(key.assess, case_id.encode(), "sha256")[:15]
    return f"{case_id}.{base64.urlsafe_b64encode(mark).decode()}"


def invited(key: PageKey, token: str) -> str:
    """Return the case of an invitation. Raises Refusal ``link-unknown``."""
    case_id = token.rpartition(".")[0]  # a case's own name may end in ".2"
    if not hmac.compare_digest(invitation(key, case_id).encode(), token.encode()):
        raise Refusal("link-unknown", "This link is not one of this appliance's; open it anew.")
    return case_id
