"""TLS of the pages: a certificate that is looked at before anything listens."""

import ssl
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from clic_edge.config.openid import LOOPBACK
from clic_edge.config.settings import Web
from clic_edge.errors import ConfigError
from clic_edge.pacs.tls import CIPHERS, certificates, read_pem, unreadable


def certificate_ends(settings: Web, now: datetime) -> datetime | None:
    """Return when the certificate of the pages ends, None where they have none of their own.

    Raises
    ------
    ConfigError
        ``web-unencrypted``: without a certificate, other machines would reach the pages.
        ``tls-unreadable``, ``tls-expired``, ``tls-mismatch``: the certificate or its key is no use.

    """
    if settings.certificate is None or settings.certificate_key is None:
        if settings.host not in LOOPBACK and not settings.behind_proxy:
            raise ConfigError(
                "web-unencrypted",
                f"Pages on {settings.host} would send passwords in the clear: name `certificate` "
                "and `certificate_key`, or say `behind_proxy` where a proxy brings TLS.",
            )
        return None
    certificate = certificates(settings.certificate)[0]
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise ConfigError(
            "tls-expired",
            f"{settings.certificate} holds from {certificate.not_valid_before_utc:%Y-%m-%d} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}, and not now; renew it.",
        )
    if _public_of(settings.certificate_key) != certificate.public_key().public_bytes(*_SPKI):
        raise ConfigError(
            "tls-mismatch",
            f"{settings.certificate_key} is not the key of {settings.certificate}; the site's own "
            "certificate comes first in the file.",
        )
    return certificate.not_valid_after_utc


def names_of(settings: Web) -> frozenset[str]:
    """Return the names and addresses for which the pages have a certificate, wildcards left out.

    Browsers ask in small letters, however the certificate writes a name.

    Raises ConfigError ``tls-unreadable``.
    """
    if settings.certificate is None:
        return frozenset()
    certificate = certificates(settings.certificate)[0]
    try:
        made_out = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    except ValueError as error:
        raise unreadable(settings.certificate, "the names in it can't be read") from error
    names = made_out.get_values_for_type(x509.DNSName)
    addresses = map(str, made_out.get_values_for_type(x509.IPAddress))
    return frozenset({*(name.lower() for name in names if "*" not in name), *addresses})


def context_of(settings: Web) -> ssl.SSLContext:
    """Return TLS 1.2 or 1.3 with a certificate that `certificate_ends` has looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(str(settings.certificate), str(settings.certificate_key))
    return context


_SPKI: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_of(path: Path) -> bytes:
    try:
        key = load_pem_private_key(read_pem(path), password=None)
    except (ValueError, TypeError) as error:
        raise unreadable(path, "it holds no private key in PEM without a password") from error
    return key.public_key().public_bytes(*_SPKI)
