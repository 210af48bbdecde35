from __future__ import annotations

import logging
import os
import time
import uuid
import weakref
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Callable, Literal, Optional, TypeVar, Union

from .choice import Choice
from .clock import MOST_CORRECTED_S, Exchange, date_of, times_at
from .errors import SignerError
from .folder import KeySet
from .held import HeldKeys, no_key
from .keys import SigningKey
from .login import Answer, Outcome, Signed, verdict_of
from .reports import Reporter

AnAnswer = TypeVar("AnAnswer", bound=Answer)
OnProblem = Callable[[SignerError], None]
Path_ = Union[str, "os.PathLike[str]"]

_log = logging.getLogger("rekeyd_signer")

_AGAIN_S = 60.0


def open_signer(
    folder: Path_,
    *,
    reports: Union[Path_, Literal[False], None] = None,
    on_problem: Optional[OnProblem] = None,
    clock: Callable[[], float] = time.time,
) -> Signer:
    """Opens a client's folder of rekeyd's directory sink.

    The folder is looked at again before each signature (one `stat`), so there is nothing to watch or to restart.

    - `reports`: the folder that reports go to, for rekeyd: which keys this process holds, and which one it signs with. `signers/` in the key folder
      when absent, as rekeyd makes it; False: nothing is reported, and nothing is read but before a signature.
    - `on_problem`: told what does not stop the signer, such as a folder that cannot be read for a moment. When absent: logged as a
      warning, each code once a minute at most.
    - `clock`: seconds since the Unix epoch.

    Raises SignerError `folder_unreadable`.
    """
    path = Path(folder)
    place = None if reports is False else Path(reports) if reports is not None else path / "signers"
    return Signer(path, place, _harmless(on_problem) if on_problem else _Warnings().tell, clock)


class Signer:
    """Made by `open_signer`. All threads of a process may share one."""

    def __init__(self, folder: Path, reports: Optional[Path], tell: OnProblem, clock: Callable[[], float]) -> None:
        self.now = clock
        self._folder = folder
        self._reports = reports
        self._tell = tell
        self._keys = HeldKeys(folder)
        self._choice = Choice()
        self._correction = 0.0
        """Seconds that the server's clock is ahead of this machine's."""
        self._said: object = None
        self._start()
        _opened.add(self)

    @property
    def client_id(self) -> str:
        """The OAuth `client_id`."""
        return self._keys.held.client_id

    def assertion(self, *, audience: str, lifetime: int = 60) -> Signed:
        """One client assertion (RFC 7523 section 3) with a fresh `jti`, signed by the key that the server takes as far as is known.

        - `audience`: the `aud` claim: the endpoint's URL, or whatever else the server asks for.
        - `lifetime`: seconds, 1 to 300. rekeyd keeps an old key for longer than a minute.

        Raises SignerError `no_key`.
        """
        held = self._latest()
        return self._sign(held, self._choose(held), audience, lifetime, self._correction)

    def authenticate(self, send: Callable[[Signed], AnAnswer], *, audience: str, lifetime: int = 60) -> AnAnswer:
        """Sends a request that carries an assertion, and answers the last answer, whatever it says.

        When the server refuses the key (401, or 400 `invalid_client` or `invalid_request`), the request is sent once more with the other key: the
        server may be a step ahead of this folder, or a step behind. While it is, the key that was accepted instead comes first. When the `Date` of
        the refusal shows that this machine's clock is wrong, the same key is tried first, with the server's time.

        `send` makes the request anew on each call. What it raises is raised.
        """
        login = self.login(audience=audience, lifetime=lifetime)
        signed = next(login)
        while True:
            sent = self.now()
            answer = send(signed)
            try:
                signed = login.send(self.judge(answer, sent))
            except StopIteration:
                return answer

    def judge(self, answer: Answer, sent: float) -> Outcome:
        """What became of a request that was sent then, by `now`, and is answered now."""
        return Outcome(verdict_of(answer), Exchange(sent, self.now(), date_of(answer.headers)))

    def login(self, *, audience: str, lifetime: int = 60) -> Generator[Signed, Outcome, None]:
        """The rule of `authenticate` without its requests: gives what to send, is sent what became of it, and ends when there is nothing more to try."""
        held = self._latest()
        first = self._choose(held)
        correction = self._correction
        signed = self._sign(held, first, audience, lifetime, correction)
        verdict, exchange = yield signed
        if verdict != "refused":
            return
        measured = exchange.correction(signed.times)
        if measured is not None:
            if measured != 0:
                self._tell(_wrong_clock(measured))
            if abs(measured) <= MOST_CORRECTED_S:
                correction = measured
                verdict, _ = yield self._sign(held, first, audience, lifetime, correction)
                if verdict == "accepted":
                    self._correction = correction
                if verdict != "refused":
                    return
        # Looked up anew: the refusal may be how this process learns that the keys were changed a moment ago.
        newer = self._latest(is_patient=True)
        other = self._choice.other(newer, first)
        if other is None:
            return
        verdict, _ = yield self._sign(newer, other, audience, lifetime, correction)
        if verdict == "accepted":
            self._choice.accepted(newer, other)
            if measured is not None:
                self._correction = correction
        elif verdict == "refused":
            self._choice.forget()
        self._report(newer)

    def close(self) -> None:
        """Takes the report of this process back. What is signed afterwards is signed as before."""
        self._end()

    def __enter__(self) -> Signer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        if self._reports is not None:
            holding = partial(_holding, self._keys, self._choice)
            self._keys.watch.report(Reporter(self._reports, self._tell), holding)
        # Also when the process ends, or nothing refers to the signer any more.
        self._end = weakref.finalize(self, self._keys.watch.end)

    def after_fork(self) -> None:
        self._keys.after_fork()
        if self._end.detach() is None:  # it was closed before the fork
            self._keys.watch.end()
        else:
            self._start()

    def _latest(self, is_patient: bool = False) -> KeySet:
        held = self._keys.latest(self._tell, is_patient)
        self._report(held)
        return held

    def _report(self, held: KeySet) -> None:
        """Beside the signing, which does not wait for it."""
        said = (held.version, self._choice.stead)
        if said != self._said:
            self._said = said
            self._keys.watch.wake()

    def _choose(self, held: KeySet) -> SigningKey:
        key = self._choice.first(held)
        if key is None:
            raise no_key(self._folder)
        return key

    def _sign(self, held: KeySet, key: SigningKey, audience: str, lifetime: int, correction: float) -> Signed:
        if not isinstance(audience, str) or audience == "":
            raise TypeError(
                "audience must be one text: an assertion for several could be used at each of them by the others"
            )
        times = times_at(self.now() + correction, lifetime)
        claims: dict[str, object] = {
            "iss": held.client_id,
            "sub": held.client_id,
            "aud": audience,
            "jti": str(uuid.uuid4()),
            "iat": times.issued_at,
            "exp": times.expires_at,
        }
        return Signed(held.client_id, key.kid, key.role, times, key.sign(claims))


def _holding(keys: HeldKeys, choice: Choice) -> tuple[list[str], Optional[str]]:
    """For the report: the keys, and the one that signs. It does not refer to the signer, which ends when nothing else does."""
    signing = choice.first(keys.held)
    return [key.kid for key in keys.held.keys], None if signing is None else signing.kid


def _wrong_clock(correction: float) -> SignerError:
    by = "behind" if correction > 0 else "ahead of"
    far = "" if abs(correction) <= MOST_CORRECTED_S else " That is too much to correct for it."
    return SignerError(
        "clock",
        f"The server refused an assertion: this machine's clock is {abs(correction):.0f} s {by} the server's.{far} "
        "The key may be good. Set the clock, and keep it set (NTP).",
    )


def _harmless(tell: OnProblem) -> OnProblem:
    """A callback of the application that raises stops no sign-in. What it raises is logged."""

    def told(problem: SignerError) -> None:
        try:
            tell(problem)
        except Exception:
            _log.exception("on_problem has raised an error")

    return told


class _Warnings:
    """A folder that cannot be read is told at each signature: the log has a problem of the same kind once a minute at most."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}

    def tell(self, problem: SignerError) -> None:
        at = time.monotonic()
        last = self._logged.get(problem.code)
        if last is None or at - last >= _AGAIN_S:
            self._logged[problem.code] = at
            _log.warning("%s", problem)


_opened: weakref.WeakSet[Signer] = weakref.WeakSet()


def _after_fork() -> None:
    for signer in list(_opened):
        signer.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
