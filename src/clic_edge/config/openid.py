"""`[web.openid]`: the site's own accounts, by OpenID Connect."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from clic_edge.config.toml import RelativePath, Strict, WebAddress

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Groups = Annotated[tuple[str, ...], Field(strict=False)]


def is_private(url: str) -> bool:
    """Return whether nobody on the way can read or change what is said to a server."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _private(url: str) -> str:
    if not is_private(url):
        raise PydanticCustomError("url", "should begin with 'https://', or be on this machine")
    return url


class OpenId(Strict):
    """A provider that knows the site's people, and which groups may do what."""

    issuer: Annotated[WebAddress, AfterValidator(_private)]
    """As the provider names itself, e.g. `https://login.hospital/realms/staff`."""
    client_id: str = Field(min_length=1)
    """What the provider calls the appliance."""
    client_secret_file: RelativePath | None = None
    """File whose first line is the secret of the client; none of a public client."""
    title: str = Field(default="OpenID Connect", min_length=1, max_length=64)
    """What the button on the log-in page says."""
    scope: str = Field(default="openid profile", pattern=r"^openid( [!-~]+)*$")
    """What the provider is asked for; what tells the groups may need one more."""
    name_claim: str = Field(default="preferred_username", min_length=1)
    """Claim of the name by which the audit trail knows a person."""
    groups_claim: str = Field(default="groups", min_length=1)
    """Claim with the groups, or application roles, of a person."""
    viewer: Groups = ()
    """Groups whose members are viewers."""
    physicist: Groups = ()
    """Groups whose members are physicists."""
    administrator: Groups = ()
    """Groups whose members are administrators."""

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> Self:
        if not (self.viewer or self.physicist or self.administrator):
            raise PydanticCustomError(
                "groups", "should name a group for 'viewer', 'physicist' or 'administrator'"
            )
        return self
