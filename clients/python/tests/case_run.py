"""One run of one case of the table in clients/cases."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import httpx
import jwt

from rekeyd_signer import Signed, Signer, SignerError, open_signer

from keyfolder import KeyFolder, Keys
from server import Reply, json_reply, serving

AUDIENCE = "https://auth.example.com/oauth/token"
T = 1_800_000_000
GRANT = {"grant_type": "client_credentials", "scope": "a b"}

Send = Callable[[Signer, str], httpx.Response]


class Case:
    """One run of one case."""

    def __init__(self, test: unittest.TestCase, case: dict[str, Any], send: Send, root: Path) -> None:
        known(case, "name", "why", "algs", "clock", "layout", "steps")
        self.test, self.send = test, send
        self.keys = Keys(case.get("algs"))
        self.folder = KeyFolder(root, self.keys, case.get("layout", "links"))
        self.clock = case.get("clock", 0)
        self.signer: Optional[Signer] = None
        self.told: list[SignerError] = []
        self.jtis: set[str] = set()

    def run(self, step: dict[str, Any]) -> None:
        what = next(iter(step))
        expected = step.get("expect", {})
        self.told.clear()
        getattr(self, f"do_{what}")(step, expected)
        self.test.assertEqual({error.code for error in self.told}, set(expected.get("told", [])))
        for error in self.told:
            if error.code != "clock":
                self.test.assertIn(str(self.folder.path), str(error))

    def do_deliver(self, step: dict[str, Any], _: object) -> None:
        known(step, "deliver", "damage")
        self.folder.deliver(step["deliver"], step.get("damage"))

    def do_folder(self, step: dict[str, Any], _: object) -> None:
        self.folder.move(step["folder"])

    def do_clock(self, step: dict[str, Any], _: object) -> None:
        self.clock = step["clock"]

    def do_open(self, step: dict[str, Any], expected: dict[str, Any]) -> None:
        known(step["open"])
        if "error" in expected:
            with self.test.assertRaises(SignerError) as caught:
                self.open()
            self.test.assertEqual(caught.exception.code, expected["error"])
            self.test.assertIn(str(self.folder.path), str(caught.exception))
        else:
            self.signer = self.open()
            self.test.addCleanup(self.signer.close)

    def do_assertion(self, step: dict[str, Any], expected: dict[str, Any]) -> None:
        known(step["assertion"], "lifetime")
        options = {"audience": AUDIENCE, **step["assertion"]}
        if "error" in expected:
            self.fails(expected["error"], lambda: self.opened.assertion(**options))
        else:
            self.check(self.opened.assertion(**options), expected, options.get("lifetime", 60))

    def do_authenticate(self, step: dict[str, Any], expected: dict[str, Any]) -> None:
        known(expected, "sent", "status", "fails", "error", "told")
        answers, sent = iter(step["authenticate"]), []

        def answer(form: dict[str, str]) -> Reply:
            self.test.assertEqual({name: form[name] for name in GRANT}, GRANT)
            sent.append(form)
            given = next(answers, None)
            if given is None:
                return json_reply(418, {"error": "one request too many"})
            known(given, "status", "body", "text", "date", "fails", "first")
            if "first" in given:
                self.folder.deliver(given["first"])
            date = None if "date" not in given else T + given["date"]
            if "text" in given:
                return Reply(given["status"], given["text"], "text/plain", date)
            return Reply(
                given.get("status", 0), json.dumps(given.get("body", {})), date=date, fails=given.get("fails", False)
            )

        with serving(answer) as url:
            if "error" in expected:
                self.fails(expected["error"], lambda: self.send(self.opened, url))
            elif expected.get("fails"):
                with self.test.assertRaises(httpx.HTTPError):
                    self.send(self.opened, url)
            else:
                response = self.send(self.opened, url)
                last = step["authenticate"][-1]
                self.test.assertEqual(response.status_code, expected["status"])
                self.test.assertEqual(response.text, last.get("text", json.dumps(last.get("body", {}))))
        self.test.assertEqual(len(sent), len(expected.get("sent", [])), sent)
        for form, wanted in zip(sent, expected.get("sent", [])):
            self.test.assertEqual(form["client_id"], "client-4711")
            self.check(form["client_assertion"], wanted, 60)

    def do_assertions(self, step: dict[str, Any], expected: dict[str, Any]) -> None:
        count = step["assertions"]
        start = threading.Barrier(count + 1)

        def sign(_: int) -> Signed:
            start.wait()
            return self.opened.assertion(audience=AUDIENCE)

        with ThreadPoolExecutor(count) as pool, self.swapping(step["while"]):
            futures = [pool.submit(sign, n) for n in range(count)]
            start.wait()
            made = [future.result() for future in futures]
        for signed in made:
            self.check(signed, {}, 60)
            self.test.assertIn(signed.kid, expected["kids"])

    def do_opens(self, step: dict[str, Any], expected: dict[str, Any]) -> None:
        with self.swapping(step["while"]):
            for _ in range(step["opens"]):
                with self.open() as signer:
                    signed = signer.assertion(audience=AUDIENCE)
                self.check(signed, {}, 60)
                self.test.assertIn(signed.kid, expected["kids"])

    def do_report(self, step: dict[str, Any], _: object) -> None:
        wanted = step["report"]
        deadline = time.monotonic() + 15
        while (found := self.reported()) != wanted:
            if time.monotonic() > deadline:
                self.test.fail(f"{wanted} is not reported, but {found}")
            time.sleep(0.01)

    def do_close(self, _: object, __: object) -> None:
        self.opened.close()

    @property
    def opened(self) -> Signer:
        assert self.signer is not None, "the case opens no signer"
        return self.signer

    def open(self) -> Signer:
        return open_signer(self.folder.path, on_problem=self.told.append, clock=lambda: T + self.clock)

    def fails(self, code: str, action: Callable[[], object]) -> None:
        with self.test.assertRaises(SignerError) as caught:
            action()
        self.test.assertEqual(caught.exception.code, code)

    def check(self, made: Signed | str, wanted: dict[str, Any], lifetime: int) -> None:
        """What holds of each assertion."""
        known(wanted, "kid", "iat", "exp", "told")
        assertion = made if isinstance(made, str) else made.assertion
        header = jwt.get_unverified_header(assertion)
        kid, alg = header["kid"], self.keys.alg(header["kid"])
        self.test.assertEqual(header["alg"], alg)
        public = self.keys.private(kid).public_key()
        claims = jwt.decode(
            assertion,
            public,
            algorithms=[alg],
            options={"verify_signature": True, "verify_exp": False, "verify_iat": False, "verify_aud": False},
        )
        self.test.assertEqual([claims["iss"], claims["sub"], claims["aud"]], ["client-4711", "client-4711", AUDIENCE])
        self.test.assertNotIn(claims["jti"], self.jtis)
        self.jtis.add(claims["jti"])
        self.test.assertEqual(claims["exp"] - claims["iat"], lifetime)
        said = {"kid": kid, "iat": claims["iat"] - T, "exp": claims["exp"] - T}
        self.test.assertEqual(
            said, {**said, **{name: wanted[name] for name in ("kid", "iat", "exp") if name in wanted}}
        )

    def reported(self) -> Any:
        """None for no file; what is no report of this process as it is."""
        folder = self.folder.path / "signers"
        names = [name for name in os.listdir(folder) if not name.startswith(".")] if folder.is_dir() else []
        if not names:
            return None
        own = f"{re.sub('[^A-Za-z0-9._-]', '_', socket.gethostname())}-{os.getpid()}.json"
        if names != [own]:
            return names
        report = json.loads((folder / own).read_text())
        self.test.assertRegex(report.pop("at"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        return report

    def swapping(self, sets: list[dict[str, str]]) -> Swapping:
        return Swapping(self.folder, sets)


class Swapping:
    """Puts sets in place one after the other, over and over."""

    def __init__(self, folder: KeyFolder, sets: list[dict[str, str]]) -> None:
        self._folder, self._sets = folder, sets
        self._ended = threading.Event()
        self._failed: Optional[Exception] = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                for given in self._sets:
                    self._folder.deliver(given)
        except Exception as error:
            self._failed = error

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed


def known(value: dict[str, Any], *names: str) -> None:
    unknown = set(value) - set(names)
    if unknown:
        raise ValueError(f"this runner does not know {sorted(unknown)}")
