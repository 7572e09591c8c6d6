"""Who sends studies: the AE title by which it calls itself, and the address that it calls from."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One AE title at one address; nothing of what it sent is kept."""

    ae_title: str
    address: str
    first_at: datetime
    last_at: datetime
    instances: int
    """That came while it was not allowed to send."""
    name: str = ""
    """What people call it; empty of one that nobody has allowed. With modality or room."""
    reason: str = ""
    """Why it was allowed."""
    allowed_by: str = ""
    allowed_at: datetime | None = None
    """None where it may not send."""

    @property
    def is_allowed(self) -> bool:
        """Whether it may send."""
        return self.allowed_at is not None
