"""Who may ask: the check of Host, Origin and token on every request, and the security headers of every answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from linprobe.errors import ParameterError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "HEADERS", "Guard", "check_host", "is_loopback", "new_token"]

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


class Guard:
    """The application behind a door that opens for our own page alone.

    On loopback the Host of a request must be a name of loopback: a foreign name that was pointed at 127.0.0.1 (DNS
    rebinding) is refused. On any other host the token is demanded, from the address once and from a cookie after that.
    A WebSocket, and every request that is not a GET, must come from the page itself: its Origin must be this host. So
    no other site that the browser has open can start anything.

    Args:
        app: what is guarded.
        token: the secret; None on loopback.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token
        # browsers share cookies between the ports of a host: each lab has a name of its own
        self.cookie = COOKIE + hashlib.sha256((token or "").encode()).hexdigest()[:8]

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
        refusal = self._refusal(scope, headers, query)
        if refusal is not None:
            await _refuse(scope, receive, answer, refusal)
        elif scope["type"] == "http" and any(name == "token" for name, _ in query):
            await self._admit(scope, receive, answer, query)
        else:
            await self._answer(scope, receive, answer)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; a request that the end of the lab cuts off gets an answer and no traceback."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not begun:
                from starlette.responses import PlainTextResponse

                await PlainTextResponse("The lab has ended.\n", status_code=503)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str], query: list[tuple[str, str]]) -> str | None:
        """Why the request is refused, or None."""
        host = headers.get("host", "")
        if self.token is None and not is_loopback(_name(host)):
            return f"this lab answers to 127.0.0.1 and localhost, not to {host!r}."
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            origin = headers.get("origin", "")
            if origin not in (f"http://{host}", f"https://{host}"):
                return f"a request from {origin or 'nowhere'!r} to {host!r} is not one from the lab's own page."
        if self.token is not None and not any(_same(self.token, shown) for shown in self._tokens(headers, query)):
            return "the token is missing or wrong: open the address that `linprobe lab` printed, with its token."
        return None

    def _tokens(self, headers: dict[str, str], query: list[tuple[str, str]]) -> list[str]:
        """The tokens that a request shows."""
        from starlette.requests import cookie_parser

        shown = [value for name, value in query if name == "token"]
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            shown.append(credentials.strip())
        cookies = cookie_parser(headers.get("cookie", ""))
        return [*shown, *(value for name, value in cookies.items() if name == self.cookie)]

    async def _admit(self, scope: Scope, receive: Receive, send: Send, query: list[tuple[str, str]]) -> None:
        """Move the token from the address, where others may see it, into a cookie."""
        from starlette.responses import RedirectResponse

        rest = urlencode([(name, value) for name, value in query if name != "token"])
        # a path of two slashes would lead to another host
        response = RedirectResponse("/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else ""), status_code=303)
        if self.token is not None:
            # "strict" would leave it out of this very redirect where a link on another page led here
            response.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
        await response(scope, receive, send)


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
