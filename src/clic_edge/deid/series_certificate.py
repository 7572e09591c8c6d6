"""The certificate of one series that a model saw: signed as the lines of a cohort's are."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clic_edge import __version__
from clic_edge.deid import part10
from clic_edge.deid.certificate import canonical, public_key, signing_key
from clic_edge.deid.markers import METHOD_CODES
from clic_edge.deid.standard import EDITION, method_codes
from clic_edge.domain.clean import Method, SeriesCertificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.deid.keys import DeidKey
    from clic_edge.deid.profile import Profile
    from clic_edge.domain.clean import CleanSeries

CODE_VALUE = 0x00080100
CHECKS = ("residue",)
"""What `deidentify` lets nothing pass without."""


def certified(
    clean: CleanSeries, profile: Profile, key: DeidKey, *, case_id: str
) -> SeriesCertificate:
    """Return how a series of a case was made clean by a profile, signed with the site's key."""
    counted = Counter(code for one in clean.instances for code in _codes(one.content))
    unsigned = SeriesCertificate(
        case_id=case_id,
        subject_id=clean.subject_id,
        series_uid=clean.series_uid,
        instances=len(clean.instances),
        methods=tuple(
            Method(code=code.value, meaning=code.meaning, instances=counted[code.value])
            for _, code in method_codes()
            if counted[code.value]
        ),
        profile=profile.name,
        policy_digest=profile.digest,
        table_edition=EDITION,
        pixels=profile.pixels,
        faces=profile.faces,
        checks=CHECKS,
        software=f"clic-edge {__version__}",
        key_id=key.key_id,
        public_key=public_key(key),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        signature="",
    )
    return replace(unsigned, signature=signing_key(key).sign(_signed(unsigned)).hex())


def is_signed_by(certificate: SeriesCertificate, public: str) -> bool:
    """Whether a certificate is as the holder of a key signed it; `public` is hexadecimal."""
    signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    try:
        signer.verify(bytes.fromhex(certificate.signature), _signed(certificate))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(certificate: SeriesCertificate) -> bytes:
    content = asdict(certificate)
    del content["signature"]
    return canonical(content)


def _codes(content: bytes) -> Iterator[str]:
    """Yield the De-identification Method Code Sequence (0012,0064) of a clean image."""
    for element in part10.read(content).elements:
        if element.tag == METHOD_CODES:
            for one in element.items or ():
                yield from (
                    bytes(e.value).decode("ascii").strip() for e in one if e.tag == CODE_VALUE
                )
