"""The one thread of a signer: it looks at the key folder for those that sign, and while nobody signs, it looks by itself and writes the report."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Callable, Generic, Optional, TypeVar

from .reports import Reporter

LOOK_S = 5.0
"""How often a signer that signs nothing looks for new keys, so that rekeyd hears that it has them."""

_CLOSING_S = 5.0
"""A volume that hangs must not keep an application from ending."""

Found = TypeVar("Found")
Holding = Callable[[], tuple[list[str], Optional[str]]]
"""The keys, and the one that signs."""


class Watch(Generic[Found]):
    """Python has no `stat` with a time limit. What may hang is done in this thread, and those of the application wait for it no longer than they want to.

    The thread is a daemon, which keeps no process alive. It starts when there is something to do, and `end` ends it.
    """

    def __init__(self, look: Callable[[], Found]) -> None:
        self._look = look
        # A thread can take its lock twice: where it has it, the signer may be collected, which calls `end`.
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._next: Optional[Future[Found]] = None
        """The look that has not begun."""
        self._reporter: Optional[Reporter] = None
        self._holding: Holding = lambda: ([], None)
        self._is_woken = False
        self._writing: Optional[threading.Thread] = None
        """The thread that writes a report at this moment."""
        self._is_ended = False
        self.is_late = False
        """The look under way takes longer than somebody has waited for it."""

    def ask(self) -> Future[Found]:
        """A look that begins from now on: one that began before may have found an older set. All that ask until it begins share it."""
        with self._changed:
            asked = self._next = self._next or Future()
            has_thread = self._start()
            self._changed.notify_all()
        if not has_thread:
            self._look_for(self._taken())
        return asked

    def give_up(self, asked: Future[Found]) -> None:
        """Somebody has waited for it for long enough."""
        with self._changed:
            if asked.done():
                return
            if self._writing is not None and self._writing is self._thread:
                # The volume of the reports hangs, and that of the keys may not. Another thread takes the place of this one, which ends when it is answered.
                self._thread = None
                self._start()
            else:
                self.is_late = True

    def report(self, reporter: Reporter, holding: Holding) -> None:
        """From now on, what `holding` gives is reported."""
        with self._changed:
            self._reporter, self._holding = reporter, holding
            self._is_woken = True
            self._start()
            self._changed.notify_all()

    def wake(self) -> None:
        """There is something new to report. Nothing waits for it."""
        with self._changed:
            self._is_woken = self._reporter is not None
            self._changed.notify_all()

    def end(self, patience: float = _CLOSING_S) -> None:
        """Takes the report back. A look that is asked for afterwards has a thread that ends with it."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def _start(self) -> bool:
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._run, name="rekeyd-signer", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread can be started, as when the interpreter ends
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                is_called = self._changed.wait_for(self._is_called, None if self._reporter is None else LOOK_S)
                if self._is_over():
                    break
                asked = self._taken()
                self._is_woken = False
            if asked is not None or not is_called:
                self._look_for(asked)
            self._write()
        if self._is_ended and self._reporter is not None:
            self._reporter.close()

    def _is_called(self) -> bool:
        return self._next is not None or self._is_woken or self._is_ended or not self._is_in_place()

    def _is_in_place(self) -> bool:
        return self._thread is threading.current_thread()

    def _is_over(self) -> bool:
        if self._is_in_place() and self._is_ended and self._next is None:
            self._thread = None
        return not self._is_in_place()

    def _taken(self) -> Optional[Future[Found]]:
        asked, self._next = self._next, None
        return asked

    def _look_for(self, asked: Optional[Future[Found]]) -> None:
        """What is found while nobody has asked is found again by the next that asks."""
        done: Future[Found] = asked or Future()
        try:
            found = self._look()
        except BaseException as error:
            self._settle(lambda: done.set_exception(error))
        else:
            self._settle(lambda: done.set_result(found))

    def _settle(self, settle: Callable[[], None]) -> None:
        with self._changed:
            self.is_late = False
            settle()

    def _write(self) -> None:
        if self._reporter is not None and self._writing is None and not self._is_ended:
            self._writing = threading.current_thread()
            self._reporter.report(*self._holding())
            self._writing = None
