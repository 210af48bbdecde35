"""The set of keys that a signer holds: as new as the folder's, and never given up for one that cannot sign."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Callable

from .errors import SignerError
from .folder import ATTEMPTS, KeySet, read_key_set, version_of


class HeldKeys:
    """All threads may use it at once."""

    def __init__(self, folder: Path) -> None:
        """Raises SignerError `folder_unreadable`."""
        self._folder = folder
        # Replaced whole: no thread sees half of a change.
        self._held = read_key_set(folder)
        self._seen = self._held.version
        self._is_failing = False
        self._lock = threading.Lock()

    @property
    def client_id(self) -> str:
        return self._held.client_id

    def after_fork(self) -> None:
        """A thread that held the lock has not come along."""
        self._lock = threading.Lock()

    def latest(self, tell: Callable[[SignerError], None]) -> KeySet:
        """Tells why the folder's new set is not taken."""
        held = self._held
        if self._is_as_seen():
            self._is_failing = False
            return held
        problem = None
        with self._lock:
            # Another thread may have just read it.
            if not self._is_as_seen():
                problem = self._reload()
        if problem is not None:
            tell(problem)
        return self._held

    def _is_as_seen(self) -> bool:
        try:
            return version_of(self._folder) == self._seen
        except OSError:
            return False

    def _reload(self) -> "SignerError | None":
        held = self._held
        try:
            # What could not be read a moment ago is not waited for by every signature.
            fresh = read_key_set(self._folder, 1 if self._is_failing else ATTEMPTS)
        except SignerError as error:
            self._is_failing = True
            return error
        self._is_failing = False
        if fresh.client_id != held.client_id:
            return SignerError(
                "other_client",
                f"The key folder {self._folder} is of the client {held.client_id}, and now has keys of {fresh.client_id}. "
                "The signer goes on with those it has. Check what is mounted there.",
            )
        if fresh.first() is None and held.first() is not None:
            return no_key(self._folder, " The signer goes on with those it has.")
        self._held = fresh
        self._seen = fresh.version
        return None


def no_key(folder: Path, consequence: str = "") -> SignerError:
    what = f"The key folder {folder} holds no key to sign with."
    return SignerError("no_key", f'{what}{consequence} See what "rekeyd status" says about this client.')
