"""Who may in: only this machine's browser, only with the one-time token, and only our own pages may change things.

A page bound to loopback is still reachable by every web page in the same browser and, by DNS rebinding, readable by
them. So: a list of allowed Host headers, a cookie no other site's request carries, a secret in every form, and a
content security policy under which nothing but our own files runs.
"""

import hmac
import secrets
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OPEN_PATHS = ("/enter", "/static/")
CLOSED = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Glasshead</title>
<link rel="stylesheet" href="/static/style.css">
<main><h1>Closed</h1>
<p>This page is open to one browser only. If it is this one, and a link on another site brought you here,
<a href="">go on</a>. Otherwise run <code>glasshead review</code> again and use the address it prints.</p></main>
</html>
"""
"""A strict cookie does not come along from another site's link; from this page's it does."""


class Entry:
    """The secrets of one run of the page: gone when it ends."""

    def __init__(self, hosts: Collection[str]) -> None:
        self.hosts = frozenset(hosts)
        self.token: str | None = secrets.token_urlsafe(32)
        """Opens the page once."""
        self._cookie = secrets.token_urlsafe(32)
        self.csrf = secrets.token_urlsafe(32)
        """In every form: another site can send a form here, but cannot know this."""
        # Cookies are shared by all ports of a host, so the name tells runs apart.
        self.cookie_name = f"glasshead_{secrets.token_hex(4)}"

    def admit(self, response: Response, token: str) -> bool:
        """Use the token up: put the cookie on the response if it is the right one."""
        if self.token is None or not hmac.compare_digest(token.encode(), self.token.encode()):
            return False
        self.token = None
        response.set_cookie(self.cookie_name, self._cookie, httponly=True, samesite="strict", path="/")
        return True

    def knows(self, request: Request) -> bool:
        given = request.cookies.get(self.cookie_name, "")
        return hmac.compare_digest(given.encode(), self._cookie.encode())

    def trusts_form(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode(), self.csrf.encode())


class Guard:
    """The middleware in front of everything."""

    def __init__(self, app: ASGIApp, entry: Entry) -> None:
        self._app = app
        self._entry = entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if Headers(scope=request.scope).get("host", "") not in self._entry.hosts:
            return PlainTextResponse("This page answers only on the address it was opened with.", 421)
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("Only GET and POST are understood.", 405)
        if request.url.path.startswith(OPEN_PATHS) or self._entry.knows(request):
            return None
        return HTMLResponse(CLOSED, 403)
