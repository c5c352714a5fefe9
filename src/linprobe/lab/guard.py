"""Who may ask: the check of Host, Origin and token on every request, and the security headers of every answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from linprobe.errors import ParameterError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "HEADERS", "Guard", "Students", "check_host", "is_loopback", "new_code", "new_token"]

COOKIE = "linprobe-lab-"
"""Begins the name of the cookie that holds the token once the printed address was opened."""

SAFE = ("GET", "HEAD")
"""HTTP methods that change nothing, which need no token."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
"""Of every answer; a route that sets one of them itself keeps its own."""


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A fresh secret of 192 bits, as letters that an address may hold."""
    return secrets.token_urlsafe(24)


CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Those of a code that is read from a wall and typed: no two of them look alike."""

CODE_LENGTH = 10
"""Letters of a code. 31^10 is about 2^49: at 10,000 guesses a second, half of them take 1,300 years."""


def new_code() -> str:
    """A fresh secret of 49 bits, short enough to be typed from a wall."""
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))


@dataclass(frozen=True)
class Students:
    """The second way in, of the students of a class.

    Args:
        token: their secret.
        app: what they may use.
    """

    token: str
    app: ASGIApp


class Guard:
    """The application behind a door that opens for our own page alone.

    On loopback the Host of a request must be a name of loopback: a foreign name that was pointed at 127.0.0.1 (DNS
    rebinding) is refused. On any other host the token is demanded, from the address once and from a cookie after that.
    A WebSocket, and every request that is not a GET, must come from the page itself: its Origin must be this host. So
    no other site that the browser has open can start anything.

    In a class the lecturer's token opens the lab only on the machine where it runs: on its way over the network it
    could be read. The students' token leads to an application of their own, which lacks what they may not do. A browser
    that shows both is the lecturer's.

    Args:
        app: what is guarded.
        token: the secret; None on loopback.
        students: of a class; None without one.
    """

    def __init__(self, app: ASGIApp, token: str | None, students: Students | None = None) -> None:
        self.app, self.token, self.students = app, token, students
        self.cookie = _cookie(token or "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                names = {name.lower() for name, _ in given}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in names]
                message = {**message, "headers": [*given, *extra]}
            await send(message)

        query = parse_qsl(scope["query_string"].decode("latin-1"))
        refusal = self._foreign(scope, headers)
        app, without = self._app_for(scope, headers, query)
        if refusal is not None or app is None:
            await _refuse(scope, receive, answer, refusal or without)
        elif scope["type"] == "http" and any(name == "token" for name, _ in query):
            await self._admit(scope, receive, answer, query)
        else:
            await self._answer(app, scope, receive, answer)

    async def _answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; a request that the end of the lab cuts off gets an answer and no traceback."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, noted)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not begun:
                from starlette.responses import PlainTextResponse

                await PlainTextResponse("The lab has ended.\n", status_code=503)(scope, receive, send)

    def _foreign(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Why the request comes from elsewhere than the lab's own page, or None."""
        host = headers.get("host", "")
        if self.token is None and not is_loopback(_name(host)):
            return f"this lab answers to 127.0.0.1 and localhost, not to {host!r}."
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            origin = headers.get("origin", "")
            if origin not in (f"http://{host}", f"https://{host}"):
                return f"a request from {origin or 'nowhere'!r} to {host!r} is not one from the lab's own page."
        return None

    def _app_for(
        self, scope: Scope, headers: dict[str, str], query: list[tuple[str, str]]
    ) -> tuple[ASGIApp | None, str]:
        """The application that the tokens of a request open; else None, and why."""
        if self.token is None:
            return self.app, ""
        shown = self._tokens(headers, query)
        lecturer = any(_same(self.token, each) for each in shown)
        if lecturer and (self.students is None or _is_local(scope)):
            return self.app, ""
        if self.students is not None and any(_same(self.students.token, each) for each in shown):
            return self.students.app, ""
        if lecturer:
            return None, "the lecturer's token opens the lab on the machine where it runs; students have another one."
        return None, "the token is missing or wrong: open the address that `linprobe lab` printed, with its token."

    def _tokens(self, headers: dict[str, str], query: list[tuple[str, str]]) -> list[str]:
        """The tokens that a request shows."""
        from starlette.requests import cookie_parser

        shown = [value for name, value in query if name == "token"]
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            shown.append(credentials.strip())
        names = [self.cookie] + ([] if self.students is None else [_cookie(self.students.token)])
        cookies = cookie_parser(headers.get("cookie", ""))
        return [*shown, *(value for name, value in cookies.items() if name in names)]

    async def _admit(self, scope: Scope, receive: Receive, send: Send, query: list[tuple[str, str]]) -> None:
        """Move the token from the address, where others may see it, into a cookie."""
        from starlette.responses import RedirectResponse

        rest = urlencode([(name, value) for name, value in query if name != "token"])
        # a path of two slashes would lead to another host
        response = RedirectResponse("/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else ""), status_code=303)
        shown = [value for name, value in query if name == "token"]
        for secret in (self.token, None if self.students is None else self.students.token):
            # only what was shown: a student whose cookie is right gets no other one for a wrong token
            if secret is not None and any(_same(secret, each) for each in shown):
                # "strict" would leave it out of this very redirect where a link on another page led here
                response.set_cookie(_cookie(secret), secret, httponly=True, samesite="lax")
        await response(scope, receive, send)


def _cookie(token: str) -> str:
    """The name of the cookie of a token: browsers share cookies between the ports of a host, so each has its own."""
    return COOKIE + hashlib.sha256(token.encode()).hexdigest()[:8]


def _is_local(scope: Scope) -> bool:
    """Whether a request comes from this machine: from loopback, or from the very address that it goes to."""
    peer, own = ((scope.get(end) or ("",))[0] or "" for end in ("client", "server"))
    return is_loopback(str(peer).removeprefix("::ffff:")) or (peer != "" and peer == own)


def check_host(host: str, token: str | None) -> None:
    """Raise ParameterError where the lab would listen to other machines without a token."""
    if token is None and not is_loopback(host):
        raise ParameterError(f"host = {host!r} can be reached from other machines; a lab there needs a token.")


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _same(secret: str, shown: str) -> bool:
    """Whether the two are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(secret.encode(), shown.encode("utf-8", "surrogateescape"))


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    from starlette.responses import PlainTextResponse

    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
        return
    await PlainTextResponse(f"Refused: {why}\n", status_code=403)(scope, receive, send)
