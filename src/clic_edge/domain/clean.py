"""What may be seen without knowing whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudonym:
    """The keyed stand-in for a subject, its UIDs and its date shift. Stays inside `deid`.

    Whoever holds one can link a subject's files, so it is never stored and never leaves the
    process; what travels on is `subject_id` alone.
    """

    subject_id: str
    date_shift_days: int = field(repr=False)
    uid_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanInstance:
    """One instance after de-identification, as a Part 10 file."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanSeries:
    """A series after de-identification, slice for slice in source order.

    ``instances[i]`` is what became of ``Series.instances[i]``: only by that index does a result
    find its way back.
    """

    subject_id: str
    series_uid: str
    """The keyed Series Instance UID."""
    instances: tuple[CleanInstance, ...]
