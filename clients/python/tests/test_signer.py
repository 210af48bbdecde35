"""What the table in clients/cases leaves to each language."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jwt
from keyfolder import KeyFolder, Keys, is_root
from rekeyd_signer import Signed, SignerError, open_signer
from rekeyd_signer.httpx_auth import PrivateKeyJwt
from server import Reply, json_reply, serving

AUDIENCE = "https://auth.example.com/oauth/token"
NOBODY = 65_534


class Said:
    """An answer without a connection."""

    def __init__(self, status: int) -> None:
        self.status_code = status
        self.headers: dict[str, str] = {}

    def json(self) -> Any:
        return {}


class SignerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rekeyd-signer-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.keys = Keys()
        self.folder = KeyFolder(self.root, self.keys)

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 15
        while not is_so():
            self.assertLess(time.monotonic(), deadline, f"not within 15 s: {what}")
            time.sleep(0.01)

    def reports(self) -> list[str]:
        return sorted(path.name for path in (self.folder.path / "signers").glob("*.json"))

    @staticmethod
    def report_of(pid: int) -> str:
        return f"{re.sub('[^A-Za-z0-9._-]', '_', socket.gethostname())}-{pid}.json"


class Processes(SignerTest):
    PROGRAM = """
import sys
from rekeyd_signer import open_signer
signer = open_signer(sys.argv[1])
print(signer.assertion(audience="a").kid, flush=True)
sys.stdin.read()
"""

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-B", "-c", self.PROGRAM, str(self.folder.path)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(command, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **pipes)

    def test_that_share_a_folder_report_each_for_itself_and_take_that_back_at_their_end(self) -> None:
        self.folder.deliver({"current": "A"})
        with self.start() as one, self.start() as other:
            self.assertEqual([process.stdout and process.stdout.readline() for process in (one, other)], ["A\n", "A\n"])
            both = sorted([self.report_of(one.pid), self.report_of(other.pid)])
            self.until("both report", lambda: self.reports() == both)
            # Neither closes its signer. It keeps no process alive.
            one.communicate()
            self.assertEqual(one.returncode, 0)
            self.assertEqual(self.reports(), [self.report_of(other.pid)])
            other.communicate()
            self.assertEqual(other.returncode, 0)
        self.assertEqual(self.reports(), [])

    def test_that_are_forked_report_and_sign_too(self) -> None:
        self.folder.deliver({"current": "A"})
        context = multiprocessing.get_context("fork")
        with open_signer(self.folder.path) as signer:
            own = self.report_of(os.getpid())
            self.until("the parent reports", lambda: self.reports() == [own])
            end, kids = context.Event(), context.Queue()

            def work() -> None:
                kids.put(signer.assertion(audience=AUDIENCE).kid)
                end.wait(30)
                signer.close()

            child = context.Process(target=work)
            child.start()
            self.assertEqual(kids.get(timeout=30), "A")
            both = sorted([own, self.report_of(child.pid or 0)])
            self.until("both report", lambda: self.reports() == both)
            end.set()
            child.join()
            self.assertEqual(child.exitcode, 0)
            self.assertEqual(self.reports(), [own])
        self.assertEqual(self.reports(), [])

    @unittest.skipUnless(is_root(), "only root can become another user")
    def test_as_another_user_cannot_open_what_is_not_theirs_and_go_on_with_what_they_have(self) -> None:
        self.root.chmod(0o755)
        self.folder.deliver({"current": "A"})
        problems: list[SignerError] = []
        signer = open_signer(self.folder.path, on_problem=problems.append, reports=False)
        self.folder.deliver({"current": "B", "previous": "A"})
        for key in self.folder.path.glob("*.jwk.json"):
            key.chmod(0o600)
        os.seteuid(NOBODY)
        try:
            with self.assertRaises(SignerError) as caught:
                open_signer(self.folder.path)
            self.assertEqual(signer.assertion(audience=AUDIENCE).kid, "A")
        finally:
            os.seteuid(0)
        for problem in [caught.exception, *problems]:
            self.assertEqual(problem.code, "folder_unreadable")
            self.assertRegex(str(problem), rf"Permission denied: .*jwk\.json.* this user \(uid {NOBODY}\) may read it")
        self.assertEqual(len(problems), 1)
        self.assertEqual(signer.assertion(audience=AUDIENCE).kid, "B")


class Threads(SignerTest):
    def test_that_sign_in_during_a_cutover_are_refused_once_at_most(self) -> None:
        self.folder.deliver({"current": "A", "next": "B"})
        accepted, sent = "A", 0

        def send(signed: Signed) -> Said:
            nonlocal sent
            sent += 1
            return Said(200 if signed.kid == accepted else 401)

        count = 1000
        start = threading.Barrier(count + 1)

        def sign_in(_: int) -> list[int]:
            start.wait()
            return [signer.authenticate(send, audience=AUDIENCE).status_code for _ in range(3)]

        with open_signer(self.folder.path) as signer, ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(sign_in, n) for n in range(count)]
            start.wait()
            self.until("some have signed in", lambda: sent > 100)
            accepted = "B"
            answered = [status for future in futures for status in future.result()]
            self.assertEqual(set(answered), {200})
            self.assertEqual(signer.assertion(audience=AUDIENCE).kid, "B")
            self.folder.deliver({"current": "B", "previous": "A"})
            self.assertEqual(sign_in_once(signer, send), 200)


def sign_in_once(signer: Any, send: Callable[[Signed], Said]) -> int:
    return int(signer.authenticate(send, audience=AUDIENCE).status_code)


class Secrets(SignerTest):
    def test_are_in_no_error_and_in_no_variable_of_its_frames(self) -> None:
        secret = self.keys.jwk("A")["d"]
        whole = json.dumps(self.keys.jwk("A"))
        texts = {
            "text after its end": whole + "}",
            "half of it": whole[:-40],
            "a private member that is none": json.dumps({**self.keys.jwk("A"), "d": [secret]}),
            "a private member in the wrong place": json.dumps({**self.keys.jwk("A"), "kty": secret}),
            "an alg that it cannot sign": json.dumps({**self.keys.jwk("A"), "alg": "RS256"}),
            "another curve than its alg": json.dumps({**self.keys.jwk("A"), "alg": "ES384"}),
            "a secret for all": json.dumps({**self.keys.jwk("A"), "kty": "oct", "k": secret, "alg": "HS256"}),
        }
        for what, text in texts.items():
            with self.subTest(what):
                self.folder.deliver({"current": "A", "next": "A"})
                (self.folder.path / "current.jwk.json").write_text(text)
                told = failure_of(lambda: open_signer(self.folder.path))
                self.assertIn("current.jwk.json", told)
                self.assertEqual(shown(secret, told), [])

    def test_would_be_found_in_a_variable(self) -> None:
        def inner() -> None:
            jwk = self.keys.jwk("A")
            raise SignerError("no_key", f"a key of the kind {jwk['kty']}")

        def fails() -> None:
            inner()

        self.assertNotEqual(shown(self.keys.jwk("A")["d"], failure_of(fails)), [])

    def test_are_not_shown_by_what_the_signer_gives(self) -> None:
        self.folder.deliver({"current": "A"})
        signed = open_signer(self.folder.path, reports=False).assertion(audience=AUDIENCE)
        self.assertNotIn(signed.assertion, repr(signed))


def failure_of(action: Callable[[], object]) -> str:
    """What an error reporter may see: all frames below this one, with their variables, and what led to the error."""
    try:
        action()
    except SignerError as error:
        below = error.__traceback__ and error.__traceback__.tb_next and error.__traceback__.tb_next.tb_next
        error = error.with_traceback(below or error.__traceback__)
        seen = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        return f"{seen}\n{error.__cause__!r} {error.__context__!r}"
    raise AssertionError("it did not fail")


def shown(secret: str, text: str) -> list[str]:
    return [part for part in (secret[at : at + 8] for at in range(0, len(secret) - 8, 8)) if part in text]


class Misuse(SignerTest):
    def test_is_said(self) -> None:
        self.folder.deliver({"current": "A"})
        signer = open_signer(self.folder.path, reports=False)
        for lifetime in (0, -1, 301, 1.5, True):
            with self.assertRaisesRegex(ValueError, "whole number of seconds from 1 to 300"):
                signer.assertion(audience=AUDIENCE, lifetime=lifetime)  # type: ignore[arg-type]
        for audience in ("", [AUDIENCE], None):
            with self.assertRaisesRegex(TypeError, "one text"):
                signer.assertion(audience=audience)  # type: ignore[arg-type]

    def test_problems_are_logged_where_nobody_asks_for_them(self) -> None:
        self.folder.deliver({"current": "A"})
        signer = open_signer(self.folder.path, reports=False)
        self.folder.move("away")
        with self.assertLogs("rekeyd_signer", "WARNING") as logs:
            signer.assertion(audience=AUDIENCE)
        self.assertIn(str(self.folder.path), logs.output[0])

    def test_a_report_that_cannot_be_written_is_told_once(self) -> None:
        self.folder.deliver({"current": "A"})
        (self.folder.path / "signers" / self.report_of(os.getpid())).mkdir()
        problems: list[SignerError] = []
        with open_signer(self.folder.path, on_problem=problems.append) as signer:
            self.until("it is told", lambda: len(problems) > 0)
            signer.assertion(audience=AUDIENCE)
        self.assertEqual([problem.code for problem in problems], ["report_failed"])


class Httpx(SignerTest):
    def setUp(self) -> None:
        super().setUp()
        self.folder.deliver({"current": "A"})
        self.signer = open_signer(self.folder.path, reports=False)
        self.forms: list[str] = []

    def answer(self, form: dict[str, str]) -> Reply:
        return json_reply(200, form)

    def test_the_audience_is_the_url_of_the_endpoint(self) -> None:
        with serving(self.answer) as url:
            form = httpx.post(url + "?tenant=1", data={"grant_type": "x"}, auth=PrivateKeyJwt(self.signer)).json()
        claims = jwt.decode(form["client_assertion"], options={"verify_signature": False})
        self.assertEqual(claims["aud"], url)

    def test_an_assertion_goes_into_nothing_but_a_form(self) -> None:
        with serving(self.answer) as url:
            requests: list[dict[str, Any]] = [{"json": {}}, {"content": b"{}"}, {}]
            for request in requests:
                with self.assertRaisesRegex(ValueError, "forms alone"):
                    httpx.post(url, auth=PrivateKeyJwt(self.signer), **request)


if __name__ == "__main__":
    unittest.main()
