"""The cookies that prove who a browser is: no script reads them, and no other site sends them."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

_SESSION, _LOGIN = "clic-edge-session", "clic-edge-login"
_LOGIN_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookies:
    """Cookies of a site; with TLS no other host and no unencrypted page can set or read them."""

    is_secure: bool

    def session(self, request: Request) -> str:
        """Return the token of a browser's session, empty where it has none."""
        return request.cookies.get(self._name(_SESSION), "")

    def login(self, request: Request) -> str:
        """Return the secret that a browser was given with the log-in page, empty for none."""
        return request.cookies.get(self._name(_LOGIN), "")

    def give_session(self, answer: Response, token: str) -> None:
        """Let a browser have a session, until it is closed or the session ends."""
        self._set(answer, _SESSION, token)
        self.take_login(answer)

    def give_login(self, answer: Response, secret: str) -> None:
        """Let a browser prove that it was this one that asked for the log-in page."""
        self._set(answer, _LOGIN, secret, seconds=_LOGIN_SECONDS)

    def take_session(self, answer: Response) -> None:
        """Let a browser forget its session."""
        self._set(answer, _SESSION, "", seconds=0)

    def take_login(self, answer: Response) -> None:
        """Let a browser forget that it was logging in."""
        self._set(answer, _LOGIN, "", seconds=0)

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.is_secure else name

    def _set(self, answer: Response, name: str, value: str, *, seconds: int | None = None) -> None:
        answer.set_cookie(
            self._name(name),
            value,
            max_age=seconds,
            httponly=True,
            # Lax, because a link in a PACS leads here: the reader who follows it is logged in.
            samesite="lax",
            secure=self.is_secure,
        )
