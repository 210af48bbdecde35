"""The set of keys that a signer holds: as new as the folder's, and never given up for one that cannot sign."""

from __future__ import annotations

import threading
from concurrent.futures import Future, TimeoutError, wait
from pathlib import Path
from typing import Callable, Optional, TypeVar

from .errors import SignerError
from .folder import ATTEMPTS, KeySet, read_key_set, version_of

PATIENCE_S = 3.0
"""A volume that hangs must not stop logins for longer than this. Where a thousand threads sign at once, each waits for the others as well."""

_LONG_PATIENCE_S = 10.0
"""Where there are no keys yet, or the ones that are held were refused."""

Result = TypeVar("Result")


class HeldKeys:
    """All threads may use it at once."""

    def __init__(self, folder: Path) -> None:
        """Raises SignerError `folder_unreadable`."""
        self._folder = folder
        opening = _Beside(lambda: read_key_set(folder))
        try:
            # Replaced whole: no thread sees half of a change.
            self._held = opening.result(_LONG_PATIENCE_S)
        except TimeoutError:
            raise _hangs(folder) from None
        self._is_failing = False
        self._stuck: Optional[_Beside[Optional[SignerError]]] = None
        self._lock = threading.Lock()

    @property
    def client_id(self) -> str:
        return self._held.client_id

    def after_fork(self) -> None:
        """A thread that held the lock has not come along."""
        self._lock = threading.Lock()
        self._stuck = None

    def latest(self, tell: Callable[[SignerError], None], is_patient: bool = False) -> KeySet:
        """Tells why the folder's new set is not taken.

        - `is_patient`: waits longer for a folder that is slow to answer: without a newer set there is nothing to go on with.
        """
        problem = self._refresh(_LONG_PATIENCE_S if is_patient else PATIENCE_S, is_patient)
        if problem is not None:
            tell(problem)
        return self._held

    def _refresh(self, patience: float, is_patient: bool) -> Optional[SignerError]:
        stuck = self._stuck
        if stuck is not None and is_patient:
            wait([stuck], patience)
        if stuck is not None and not stuck.done():
            return _hangs(self._folder)
        look = _Beside(self._look)
        try:
            return look.result(patience)
        except TimeoutError:
            self._stuck = look
            return _hangs(self._folder)

    def _look(self) -> Optional[SignerError]:
        if self._is_as_held():
            self._is_failing = False
            return None
        with self._lock:
            # Another thread may have just read it.
            return None if self._is_as_held() else self._reload()

    def _is_as_held(self) -> bool:
        try:
            return version_of(self._folder) == self._held.version
        except OSError:
            return False

    def _reload(self) -> Optional[SignerError]:
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
        return None


class _Beside(Future[Result]):
    """Runs in a thread of its own, which keeps no process alive."""

    def __init__(self, action: Callable[[], Result]) -> None:
        super().__init__()
        self._action = action
        try:
            threading.Thread(target=self._run, name="rekeyd-signer-look", daemon=True).start()
        except RuntimeError:  # no thread can be started, as when the interpreter ends
            self._run()

    def _run(self) -> None:
        try:
            self.set_result(self._action())
        except BaseException as error:
            self.set_exception(error)


def no_key(folder: Path, consequence: str = "") -> SignerError:
    what = f"The key folder {folder} holds no key to sign with."
    return SignerError("no_key", f'{what}{consequence} See what "rekeyd status" says about this client.')


def _hangs(folder: Path) -> SignerError:
    return SignerError(
        "folder_unreadable",
        f"The key folder {folder} does not answer. The signer goes on with the keys it has, if any. Check the volume that it is on.",
    )
