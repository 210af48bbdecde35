"""The set of keys that a signer holds: as new as the folder's, and never given up for one that cannot sign."""

from __future__ import annotations

from concurrent.futures import TimeoutError
from pathlib import Path
from typing import Callable, Optional

from .errors import SignerError
from .folder import ATTEMPTS, KeySet, read_key_set, version_of
from .watch import Watch

PATIENCE_S = 3.0
"""A volume that hangs must not stop logins for longer than this. Where a thousand threads sign at once, each waits for the others as well."""

_LONG_PATIENCE_S = 10.0
"""Where there are no keys yet, or the ones that are held were refused."""


class HeldKeys:
    """All threads may use it at once."""

    def __init__(self, folder: Path) -> None:
        """Raises SignerError `folder_unreadable`."""
        self._folder = folder
        # Replaced whole: no thread sees half of a change.
        self._held: Optional[KeySet] = None
        self._is_failing = False
        self.watch = Watch(self._look)
        problem = self._refresh(_LONG_PATIENCE_S, True)
        if problem is not None:
            self.watch.end(0)
            raise problem

    @property
    def held(self) -> KeySet:
        assert self._held is not None
        return self._held

    def after_fork(self) -> None:
        """Threads do not come along into the child of a fork, nor does the end of what they were doing."""
        self.watch = Watch(self._look)

    def latest(self, tell: Callable[[SignerError], None], is_patient: bool = False) -> KeySet:
        """Tells why the folder's new set is not taken.

        - `is_patient`: waits longer for a folder that is slow to answer: without a newer set there is nothing to go on with.
        """
        problem = self._refresh(_LONG_PATIENCE_S if is_patient else PATIENCE_S, is_patient)
        if problem is not None:
            tell(problem)
        return self.held

    def _refresh(self, patience: float, is_patient: bool) -> Optional[SignerError]:
        if self.watch.is_late and not is_patient:
            return _hangs(self._folder)
        look = self.watch.ask()
        try:
            return look.result(patience)
        except TimeoutError:
            self.watch.give_up(look)
            return _hangs(self._folder)

    def _look(self) -> Optional[SignerError]:
        if self._is_as_held():
            self._is_failing = False
            return None
        try:
            # What could not be read a moment ago is not waited for by every signature.
            fresh = read_key_set(self._folder, 1 if self._is_failing else ATTEMPTS)
        except SignerError as error:
            self._is_failing = True
            return error
        self._is_failing = False
        return self._take(fresh)

    def _is_as_held(self) -> bool:
        try:
            return self._held is not None and version_of(self._folder) == self._held.version
        except OSError:
            return False

    def _take(self, fresh: KeySet) -> Optional[SignerError]:
        held = self._held
        if held is not None and fresh.client_id != held.client_id:
            return SignerError(
                "other_client",
                f"The key folder {self._folder} is of the client {held.client_id}, and now has keys of {fresh.client_id}. "
                "The signer goes on with those it has. Check what is mounted there.",
            )
        if held is not None and fresh.first() is None and held.first() is not None:
            return no_key(self._folder, " The signer goes on with those it has.")
        self._held = fresh
        return None


def no_key(folder: Path, consequence: str = "") -> SignerError:
    what = f"The key folder {folder} holds no key to sign with."
    return SignerError("no_key", f'{what}{consequence} See what "rekeyd status" says about this client.')


def _hangs(folder: Path) -> SignerError:
    return SignerError(
        "folder_unreadable",
        f"The key folder {folder} does not answer. The signer goes on with the keys it has, if any. Check the volume that it is on.",
    )
