"""An OpenID provider on loopback: real HTTP, real signatures, and lies where a test asks for them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT, SECRET = "clic-edge", "a secret: of the client"
KEY = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
NEW_KEY = ECKey.generate_key("P-256", {"kid": "second", "use": "sig"})
Claims = dict[str, object]
Signer = Callable[[Claims], str]


def signed(claims: Claims) -> str:
    """Sign as it should be."""
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, KEY)


def signed_by_another(claims: Claims) -> str:
    """Sign with a key that was not published, under the name of one that was."""
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, OTHER_KEY)


def signed_by_new(claims: Claims) -> str:
    """Sign with a key that was published after the first time of asking."""
    return jwt.encode({"alg": "ES256", "kid": "second"}, claims, NEW_KEY)


def signed_by_nobody(claims: Claims) -> str:
    """Leave the signature away, and say so."""
    parts = [{"alg": "none", "kid": "first"}, claims]
    texts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts]
    return b".".join([*texts, b""]).decode()


def signed_with_the_public_key(claims: Claims) -> str:
    """Take the published key for a shared secret."""
    parts = [{"alg": "HS256", "kid": "first"}, claims]
    texts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts]
    mark = hmac.digest(KEY.as_pem(private=False), b".".join(texts), "sha256")
    return b".".join([*texts, base64.urlsafe_b64encode(mark).rstrip(b"=")]).decode()


@dataclass
class Provider:
    """What it knows, and how it answers from now on."""

    url: str = ""
    claims: Claims = field(default_factory=dict)
    """Of the person at the browser, and lies about anything else."""
    sign: Signer = signed
    keys: list[RSAKey | ECKey] = field(default_factory=lambda: [KEY])
    asked: list[str] = field(default_factory=list)
    """The paths."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    is_broken: bool = False
    issuer: str = ""
    """What the discovery document says, where it lies."""

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser of somebody who logged in is sent."""
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.url}
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def redeem(self, form: dict[str, str], authorization: str) -> tuple[int, Claims]:
        """Return what a code is worth, once, to who asked for it."""
        sent = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        client, _, secret = sent.partition(":")
        asked = self.codes.pop(form["code"], None)
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        expected = base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
        if (
            (unquote(client), unquote(secret)) != (CLIENT, SECRET)
            or asked is None
            or asked["code_challenge"] != expected
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims: Claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "person-1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.claims,
        }
        return 200, {"id_token": self.sign({k: v for k, v in claims.items() if v is not None})}

    def discovery(self) -> Claims:
        """Return what it says of itself."""
        return {
            "issuer": self.issuer or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }


@contextmanager
def openid_provider() -> Iterator[Provider]:
    """Serve a provider."""
    provider = Provider()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.asked.append(parts.path)
            match parts.path:
                case "/.well-known/openid-configuration":
                    self.say(200, provider.discovery())
                case "/keys":
                    self.say(200, {"keys": [one.as_dict(private=False) for one in provider.keys]})
                case "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider.authorize(dict(parse_qsl(parts.query))))
                    self.end_headers()
                case _:
                    self.say(404, {})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.say(*provider.redeem(dict(parse_qsl(body)), self.headers["Authorization"] or ""))

        def say(self, status: int, content: Claims) -> None:
            self.send_response(503 if provider.is_broken else status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        provider.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield provider
        server.shutdown()
