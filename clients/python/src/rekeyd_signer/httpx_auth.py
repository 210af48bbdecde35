"""Authentication for httpx: `httpx.post(token_url, data={"grant_type": "client_credentials"}, auth=PrivateKeyJwt(signer))`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Optional
from urllib.parse import parse_qsl, urlencode

import anyio.to_thread
import httpx

from .login import Outcome, Signed
from .signer import Signer

_FORM = "application/x-www-form-urlencoded"


class PrivateKeyJwt(httpx.Auth):
    """Adds a client assertion to a form, and sends it again as `Signer.authenticate` says. For requests to the OAuth server's endpoints alone, of
    a `Client` or an `AsyncClient`.

    - `audience`: the `aud` claim; the request's URL without query and fragment when absent.
    """

    requires_request_body = True
    requires_response_body = True

    def __init__(self, signer: Signer, *, audience: Optional[str] = None, lifetime: int = 60) -> None:
        self._signer = signer
        self._audience = audience
        self._lifetime = lifetime

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        login = self._login(request)
        signed: Optional[Signed] = next(login)
        while signed is not None:
            sent = self._signer.now()
            response = yield _with(request, signed)
            signed = _step(login, self._signer.judge(response, sent))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Signing costs milliseconds for some keys, and a reload waits for a disk: neither holds up the event loop."""
        await request.aread()
        login = self._login(request)
        signed: Optional[Signed] = await anyio.to_thread.run_sync(next, login)
        while signed is not None:
            sent = self._signer.now()
            response = yield _with(request, signed)
            await response.aread()
            signed = await anyio.to_thread.run_sync(_step, login, self._signer.judge(response, sent))

    def _login(self, request: httpx.Request) -> Generator[Signed, Outcome, None]:
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != _FORM:
            raise ValueError(f"PrivateKeyJwt authenticates forms alone ({_FORM}): give the request `data={{…}}`")
        audience = self._audience or str(request.url.copy_with(query=None, fragment=None))
        return self._signer.login(audience=audience, lifetime=self._lifetime)


def _step(login: Generator[Signed, Outcome, None], outcome: Outcome) -> Optional[Signed]:
    """None at the end: StopIteration does not get through a thread."""
    try:
        return login.send(outcome)
    except StopIteration:
        return None


def _with(request: httpx.Request, signed: Signed) -> httpx.Request:
    added = signed.form()
    form = [pair for pair in parse_qsl(request.content.decode(), keep_blank_values=True) if pair[0] not in added]
    headers = [
        pair for pair in request.headers.multi_items() if pair[0].lower() not in ("content-length", "transfer-encoding")
    ]
    content = urlencode([*form, *added.items()]).encode()
    return httpx.Request(request.method, request.url, headers=headers, content=content, extensions=request.extensions)
