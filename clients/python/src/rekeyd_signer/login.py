"""One login: what is sent, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from .clock import Exchange, Times
from .keys import Role

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""Value of `client_assertion_type` beside the assertion (RFC 7523 section 2.2)."""


@dataclass(frozen=True)
class Signed:
    """An assertion, and the key that signed it."""

    client_id: str
    kid: str
    role: Role
    times: Times
    assertion: str = field(repr=False)

    def form(self) -> dict[str, str]:
        """The members of a token request by which the client authenticates."""
        return {
            "client_id": self.client_id,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": self.assertion,
        }


class Answer(Protocol):
    """A response of httpx or requests, or any object with these members."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def json(self) -> Any: ...


Verdict = Literal["accepted", "refused", "unknown"]


class Outcome(NamedTuple):
    """What became of one request."""

    verdict: Verdict
    exchange: Exchange


def verdict_of(answer: Answer) -> Verdict:
    """`refused` where the server may have refused the key: 401, or 400 with `invalid_client` or `invalid_request` (some servers say that for a signature
    they cannot verify). A 400 with an unknown error counts too: nothing was granted, so asking again is safe. `unknown` says nothing about the key.
    """
    status = answer.status_code
    if status == 401 or (status == 400 and _error_of(answer) in (None, "invalid_client", "invalid_request")):
        return "refused"
    return "accepted" if 200 <= status < 300 else "unknown"


def _error_of(answer: Answer) -> object:
    """The `error` of the OAuth error body (RFC 6749 section 5.2)."""
    try:
        body = answer.json()
    except Exception:  # each library has an error of its own for what is not JSON
        return None
    return body.get("error") if isinstance(body, dict) else None
