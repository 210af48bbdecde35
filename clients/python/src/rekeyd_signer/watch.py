"""A thread that looks for new keys while an application signs nothing, and writes its report."""

from __future__ import annotations

import threading
import weakref
from typing import Callable, Optional, Protocol

from .reports import Reporter

LOOK_S = 5.0
"""How often a signer that signs nothing looks for new keys, so that rekeyd hears that it has them."""


class Watched(Protocol):
    def holding(self) -> tuple[list[str], Optional[str]]: ...


class Watch:
    """Ends with what it watches, and does not keep the process alive."""

    def __init__(self, watched: Watched, reporter: Reporter) -> None:
        self._wake = threading.Event()
        self._ended = threading.Event()
        arguments = (weakref.ref(watched), reporter, self._wake, self._ended)
        self._thread = threading.Thread(target=_run, args=arguments, name="rekeyd-signer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to report."""
        self._wake.set()

    def end(self) -> None:
        """Takes the report back."""
        self._ended.set()
        self._wake.set()
        # A signer that is not used any more may be collected in the thread itself.
        if self._thread is not threading.current_thread():
            self._thread.join(LOOK_S)


def _run(
    find: Callable[[], Optional[Watched]], reporter: Reporter, wake: threading.Event, ended: threading.Event
) -> None:
    reporter.forget_old()
    while not ended.is_set():
        watched = find()
        if watched is None:
            break
        reporter.report(*watched.holding())
        del watched
        wake.wait(LOOK_S)
        wake.clear()
    reporter.close()
