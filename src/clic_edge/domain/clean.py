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


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method of CID 7050, and how many images say that it was applied to them."""

    code: str
    """Of the scheme DCM: ``113100``."""
    meaning: str
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCertificate:
    """How a series of a case was made clean before models saw it; names nobody."""

    case_id: str
    subject_id: str
    series_uid: str
    """The keyed Series Instance UID."""
    instances: int
    methods: tuple[Method, ...]
    """Counted in the clean images themselves, by their codes."""
    profile: str
    policy_digest: str
    """SHA-256 over all of the profile that decides what happens."""
    table_edition: str
    pixels: str
    """What the profile does to pixels that may show text: ``refuse``, ``redact``, ``keep`` …"""
    faces: str
    """What it does to heads that show a face: ``ignore``, ``hold`` or ``deface``."""
    checks: tuple[str, ...]
    """What every image passed; one that had not would have reached no model."""
    software: str
    key_id: str
    public_key: str
    """Ed25519, hexadecimal. It proves nothing of itself: know it from elsewhere."""
    made_at: str
    """UTC, to the second."""
    signature: str
    """Ed25519 over all other fields as JSON, keys sorted, without spaces; hexadecimal."""
