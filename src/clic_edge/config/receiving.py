"""What comes in: the appliance's own archive, and who may send to it."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from clic_edge.config.toml import RelativePath, Strict, WebAddress, both_or_neither


class OrthancTls(Strict):
    """DICOM TLS for whoever sends to the appliance (PS3.15 B.12)."""

    certificate: RelativePath
    """PEM file of the appliance's certificate."""
    key: RelativePath
    """PEM file of its private key, without a password; Orthanc alone reads it."""
    ca: RelativePath
    """PEM file of who is trusted to certify senders."""
    senders: Literal["certified", "any"] = "certified"
    """Whether a sender has to show a certificate, or may come without."""
    worker_certificate: RelativePath | None = None
    """PEM file of what the worker shows where it sends phantoms, as one of the senders."""
    worker_key: RelativePath | None = None
    """PEM file of its private key, without a password, for the worker alone."""

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> Self:
        return both_or_neither(self, "worker_certificate", "worker_key")

    @property
    def lets_worker_in(self) -> bool:
        """Whether the worker may speak DICOM to the appliance's own Orthanc."""
        return self.senders == "any" or self.worker_certificate is not None


class Orthanc(Strict):
    """The appliance's own archive, over REST."""

    url: WebAddress = "http://127.0.0.1:8042"
    """Root of Orthanc's REST interface."""
    username: str = ""
    """Empty when Orthanc asks for none."""
    password_file: RelativePath | None = None
    """File whose first line is the password."""
    timeout_s: PositiveFloat = 30.0
    """Seconds to wait for an answer."""
    tls: OrthancTls | None = None
    """TLS of its DICOM port; without it, DICOM comes in the clear."""

    @model_validator(mode="after")
    def _a_user_has_a_password(self) -> Self:
        return both_or_neither(self, "username", "password_file")


def _caller(text: str) -> str:
    ae_title, at, address = text.rpartition("@")
    if not at or not ae_title.strip() or not address.strip():
        raise PydanticCustomError("caller", "should be such as 'CT1@192.0.2.7'")
    return text


class Senders(Strict):
    """Who may send studies by C-STORE."""

    unknown: Literal["refuse", "take"] = "refuse"
    """What becomes of what somebody sends whom nobody has allowed."""
    listed: Annotated[tuple[Annotated[str, AfterValidator(_caller)], ...], Field(strict=False)] = ()
    """Who may send beside those whom an administrator allows: ``AE_TITLE@ADDRESS``."""

    @property
    def callers(self) -> tuple[tuple[str, str], ...]:
        """AE title and address of those who are listed."""
        parts = (text.rpartition("@") for text in self.listed)
        return tuple((ae_title.strip(), address.strip()) for ae_title, _, address in parts)
