"""Logging in by OpenID Connect: authorization code with PKCE, and an ID token that is checked.

OpenID Connect Core 1.0, section 3.1; Discovery 1.0, section 4; RFC 7636; RFC 9207.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, Field, ValidationError

from clic_edge.accounts.tokens import derived, is_derived
from clic_edge.config.openid import is_private
from clic_edge.domain.account import Role
from clic_edge.errors import Refusal, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.config.openid import OpenId

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""Signatures by a private key of the provider's. `none` is none, and a shared secret is no proof."""
_LEEWAY_SECONDS: Final = 60
_TIMEOUT_SECONDS: Final = 10.0
_KEPT_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom the provider vouches for, and what the site lets them do."""

    issuer: str
    subject: str
    name: str
    role: Role


class _Endpoints(BaseModel):
    """What we read of a provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: list[str] = Field(
        default_factory=lambda: ["client_secret_basic"]
    )


class _Answer(BaseModel):
    """What we read of the token endpoint's answer."""

    id_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One browser's way to the provider and back: all of it follows from the browser's secret."""

    secret: str = field(repr=False)
    to: str
    """The path that the person wanted."""
    back: str
    """Our own address, to which the provider sends the browser."""

    @property
    def state(self) -> str:
        """What comes back with the browser, so that nobody else's code is taken."""
        path = base64.urlsafe_b64encode(self.to.encode()).decode().rstrip("=")
        return f"{derived(self.secret, f'state {self.to}')}.{path}"

    @property
    def nonce(self) -> str:
        """What comes back in the ID token, so that no other log-in's is taken."""
        return derived(self.secret, "nonce")

    @property
    def verifier(self) -> str:
        """What proves that who redeems the code is who asked for it."""
        return derived(self.secret, "verifier")

    @classmethod
    def returned(cls, secret: str, state: str, back: str) -> Attempt:
        """Return the attempt that a browser comes back from.

        Raises Refusal ``login-foreign``: this browser did not begin it, or not lately.
        """
        mark, _, path = state.partition(".")
        try:
            to = base64.urlsafe_b64decode(path + "=" * (-len(path) % 4)).decode()
        except ValueError:
            to = ""
        if not secret or not is_derived(mark, secret, f"state {to}"):
            raise Refusal(
                "login-foreign", "The log-in was not begun in this browser, or too long ago."
            )
        return cls(secret=secret, to=to, back=back)


class Provider:
    """The site's OpenID provider; what it publishes is kept for an hour."""

    def __init__(
        self, settings: OpenId, client_secret: str = "", *, patience_s: float = 60.0
    ) -> None:
        """Return a provider that was not asked yet.

        A key that nobody knows makes it publish its keys again, but not within `patience_s`.
        """
        self.title = settings.title
        self.issuer = settings.issuer
        self._settings = settings
        self._secret = client_secret
        self._patience = patience_s
        self._trusted = (
            ssl.create_default_context()
        )  # what the machine trusts, a hospital's own too
        self._endpoints: tuple[float, _Endpoints] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def address(self, attempt: Attempt) -> str:
        """Return where a browser goes to log in. Raises Transient ``provider-away``."""
        challenge = hashlib.sha256(attempt.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": attempt.back,
            "scope": self._settings.scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        endpoint = self._known().authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def person(self, attempt: Attempt, answered: Mapping[str, str]) -> Person:
        """Return who came back with what the provider `answered` in the address.

        Raises
        ------
        Refusal
            ``provider-refused``: it let nobody in. ``token-invalid``: its ID token is not one for
            this attempt. ``no-role``: none of the person's groups may be here.
        Transient
            ``provider-away``.

        """
        named = answered.get("iss", self.issuer)
        if "code" not in answered or named != self.issuer:
            raise Refusal("provider-refused", "The provider of log-ins let nobody in.")
        claims = self._claims(self._redeemed(attempt, answered["code"]), attempt.nonce)
        name = claims.get(self._settings.name_claim)
        return Person(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            name=name if isinstance(name, str) else "",
            role=self._role(claims.get(self._settings.groups_claim)),
        )

    def _role(self, groups: object) -> Role:
        """Return the highest role of any group."""
        member = {groups} if isinstance(groups, str) else set(_texts(groups))
        for role in reversed(Role):
            if member & set(getattr(self._settings, role)):
                return role
        raise Refusal("no-role", "None of the person's groups has a role on this appliance.")

    def _known(self) -> _Endpoints:
        if self._endpoints and time.monotonic() - self._endpoints[0] < _KEPT_SECONDS:
            return self._endpoints[1]
        answer = self._asked("GET", f"{self.issuer}/.well-known/openid-configuration")
        try:
            found = _Endpoints.model_validate_json(answer.content)
        except ValidationError as error:
            raise _away() from error
        places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        if found.issuer.rstrip("/") != self.issuer or not all(map(is_private, places)):
            raise _away()
        self._endpoints = (time.monotonic(), found)
        return found

    def _redeemed(self, attempt: Attempt, code: str) -> str:
        """Return the ID token that a code stands for."""
        known, client = self._known(), self._settings.client_id
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.back,
            "code_verifier": attempt.verifier,
        }
        auth = None
        if self._secret and "client_secret_basic" in known.token_endpoint_auth_methods_supported:
            auth = (quote(client, safe=""), quote(self._secret, safe=""))
        else:
            form |= {"client_id": client}
            form |= {"client_secret": self._secret} if self._secret else {}
        answer = self._asked("POST", known.token_endpoint, form=form, auth=auth)
        try:
            return _Answer.model_validate_json(answer.content).id_token
        except ValidationError as error:
            raise Refusal("provider-refused", "The provider of log-ins let nobody in.") from error

    def _claims(self, id_token: str, nonce: str) -> Mapping[str, object]:
        """Return the claims of an ID token, all that Core 3.1.3.7 asks for being checked."""
        client = self._settings.client_id
        rules = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "values": [self.issuer, f"{self.issuer}/"]},
            sub={"essential": True},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            try:
                token = jwt.decode(id_token, self._key_set(), list(ALGORITHMS))
            except InvalidKeyIdError:
                token = jwt.decode(id_token, self._key_set(is_new=True), list(ALGORITHMS))
            rules.validate(token.claims)
        except (JoseError, ValueError) as error:
            raise _invalid() from error
        claims: Mapping[str, object] = token.claims
        others = claims["aud"] not in (client, [client])
        if claims.get("azp", None if others else client) != client:
            raise _invalid()
        return claims

    def _key_set(self, *, is_new: bool = False) -> KeySet:
        """Return the provider's keys; read again for one that is new, but not for each stranger."""
        age = time.monotonic() - self._keys[0] if self._keys else _KEPT_SECONDS
        if self._keys is None or age >= (self._patience if is_new else _KEPT_SECONDS):
            answer = self._asked("GET", self._known().jwks_uri)
            try:
                published = answer.json()
                public = [one for one in published["keys"] if one.get("use", "sig") == "sig"]
                self._keys = (time.monotonic(), KeySet.import_key_set({"keys": public}))
            except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise _away() from error
        return self._keys[1]

    def _asked(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> httpx.Response:
        try:
            answer = httpx.request(
                method, url, data=form, auth=auth, timeout=_TIMEOUT_SECONDS, verify=self._trusted
            )
        except httpx.HTTPError as error:
            raise _away() from error
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or (
            method == "GET" and answer.status_code != httpx.codes.OK
        ):
            raise _away()
        return answer


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _away() -> Transient:
    return Transient("provider-away", "The provider of log-ins does not answer as one.")


def _invalid() -> Refusal:
    return Refusal("token-invalid", "The provider's answer is not one to this log-in.")
