"""Times of an assertion, and what an answer tells of the server's clock. All in seconds since the Unix epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Optional

_MOST_BACKDATED_S = 10

_AHEAD_S = 1
"""A `Date` has whole seconds, so an assertion may be that much ahead of it and not wrong."""

MOST_CORRECTED_S = 900
"""An assertion for a far future would be good to steal."""


class Times(NamedTuple):
    issued_at: int
    expires_at: int


def times_at(now: float, lifetime: int) -> Times:
    """Backdated, since some servers take nothing that is ahead of their clock; within the lifetime, since some refuse one that lives too long.

    Raises `ValueError` for a lifetime that is none.
    """
    if isinstance(lifetime, bool) or not isinstance(lifetime, int) or not 1 <= lifetime <= 300:
        raise ValueError(f"lifetime is {lifetime!r}, but must be a whole number of seconds from 1 to 300")
    issued_at = math.floor(now) - min(lifetime // 6, _MOST_BACKDATED_S)
    return Times(issued_at, issued_at + lifetime)


class Exchange(NamedTuple):
    """When a request went, its answer came, and what that one's `Date` says."""

    sent: float
    received: float
    date: Optional[float]

    def correction(self, times: Times) -> Optional[float]:
        """By how much to correct this machine's clock, when an assertion with these times is not valid by the server's; else None.

        `Date` and the way of the messages only say between which two numbers the difference lies. It is the one nearest to 0.
        """
        if self.date is None or times.issued_at - _AHEAD_S <= self.date < times.expires_at:
            return None
        least, most = self.date - self.received, self.date + 1 - self.sent
        return min(max(0.0, least), most)


def date_of(headers: Mapping[str, str]) -> Optional[float]:
    """None where there is no `Date`, or it is none."""
    # A plain dict, unlike the headers of httpx and requests, tells capitals from small letters.
    text = headers.get("date") or headers.get("Date")
    try:
        date = None if text is None else parsedate_to_datetime(text)
        # The older form of a date names no zone, and is UTC (RFC 9110 section 5.6.7). Python would take it for local time.
        return None if date is None else (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
