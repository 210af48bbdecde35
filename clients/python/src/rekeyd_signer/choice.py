"""Which key of a set comes first: the folder's, or the one that the server takes in its place."""

from __future__ import annotations

from typing import NamedTuple, Optional

from .folder import KeySet
from .keys import SigningKey


class Stead(NamedTuple):
    """While the folder's first key is refused: which one was accepted in its place."""

    first: str
    accepted: str


class Choice:
    """All threads may use it at once: what it knows is replaced whole."""

    def __init__(self) -> None:
        self.stead: Optional[Stead] = None

    def first(self, held: KeySet) -> Optional[SigningKey]:
        first, stead = held.first(), self.stead
        if first is not None and stead is not None and stead.first == first.kid:
            return held.by_kid(stead.accepted) or first
        return first

    def other(self, held: KeySet, refused: SigningKey) -> Optional[SigningKey]:
        """Which key to try instead of the refused one."""
        stead, first = self.stead, self.first(held)
        others = [key for key in held.keys if key.kid != refused.kid]
        if stead is not None and stead.accepted != refused.kid and first in others:
            return first  # another thread has found it out meanwhile
        self.forget()
        if stead is not None and stead.accepted == refused.kid:
            others = [key for key in others if key.kid != stead.first] or others
        return next(iter(others), None)

    def accepted(self, held: KeySet, key: SigningKey) -> None:
        first = held.first()
        if first is not None:
            self.stead = None if first.kid == key.kid else Stead(first.kid, key.kid)

    def forget(self) -> None:
        self.stead = None
