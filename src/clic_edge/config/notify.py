"""Who is told when something happens: the table `[notify]`."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from clic_edge.config.runtimes import LOOPBACK
from clic_edge.config.toml import (
    RelativePath,
    Several,
    Strict,
    WebAddress,
    both_or_neither,
)

Port = Annotated[int, Field(ge=1, le=65535)]
AtLeast = Literal["info", "warning", "error"]


def _address(text: str) -> str:
    if text.count("@") != 1 or any(sign.isspace() or sign in "<>,;" for sign in text):
        raise PydanticCustomError("address", "should be one address such as 'it@hospital.example'")
    return text


Address = Annotated[str, AfterValidator(_address)]


def _encrypted(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise PydanticCustomError("url", "should begin with 'https://', unless it is this machine")
    return url


class Email(Strict):
    """Mail by SMTP."""

    host: str = Field(min_length=1)
    """Name or address of the mail server."""
    port: Port = 587
    """Usually 587 for `starttls`, 465 for `tls`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; `none` only within the machine or a trusted net."""
    username: str = ""
    """Empty when the server asks for none."""
    password_file: RelativePath | None = None
    """File whose first line is the password."""
    ca_file: RelativePath | None = None
    """PEM file of who is trusted to certify the server; default the system's."""
    sender: Address
    """Address that the mails come from."""
    recipients: Several[Address]
    """Addresses that they go to."""
    at_least: AtLeast = "warning"
    """The least urgent that is sent."""

    @model_validator(mode="after")
    def _a_user_has_a_password(self) -> Self:
        return both_or_neither(self, "username", "password_file")

    @model_validator(mode="after")
    def _no_password_in_the_open(self) -> Self:
        if self.security == "none" and self.password_file:
            advice = "'security' should be 'starttls' or 'tls' where there is a 'password_file'"
            raise PydanticCustomError("security", advice)
        return self


class Webhook(Strict):
    """A POST of JSON, signed."""

    url: Annotated[WebAddress, AfterValidator(_encrypted)]
    """Where it is sent, by https."""
    secret_file: RelativePath
    """File whose first line is the secret of the signature."""
    ca_file: RelativePath | None = None
    """PEM file of who is trusted to certify the server; default the system's."""
    at_least: AtLeast = "warning"
    """The least urgent that is sent."""


class Syslog(Strict):
    """Lines of RFC 5424."""

    transport: Literal["local", "udp", "tcp", "tls"] = "local"
    """`local` is `path`; the others go to `host`."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Name or address of the collector."""
    port: Port = 514
    """Usually 514 for `udp` and `tcp`, 6514 for `tls`."""
    path: Path = Field(default=Path("/dev/log"), strict=False)
    """Socket of the machine's own collector."""
    facility: Annotated[int, Field(ge=0, le=23)] = 16
    """Number of the facility; 16 is local0."""
    ca_file: RelativePath | None = None
    """PEM file of who is trusted to certify the collector; default the system's."""
    at_least: AtLeast = "info"
    """The least urgent that is sent."""


class Notify(Strict):
    """Who is told when something happens; without a channel nobody is."""

    pause_minutes: Annotated[float, Field(ge=0)] = 15.0
    """Between two mails or posts of one kind; what comes meanwhile is told together."""
    give_up_after_days: PositiveFloat = 3.0
    """How long a notice that can't be sent is tried again."""
    late_minutes: Annotated[float, Field(ge=0)] = 60.0
    """A case that has been open for longer is told of, once a day; 0 for never."""
    disk_percent: Annotated[float, Field(ge=0, lt=100)] = 10.0
    """Of the disk with `appliance.state_dir` that should be free; below it is told of, once a day."""
    email: Email | None = None
    webhook: Webhook | None = None
    syslog: Syslog | None = None
