"""What the table in clients/cases leaves to each language."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import httpx
import jwt

from rekeyd_signer import Signed, SignerError, open_signer
from rekeyd_signer.clock import date_of
from rekeyd_signer.httpx_auth import PrivateKeyJwt

from server import Reply, json_reply, serving
from signer_test import AUDIENCE, Said, SignerTest


class Dates(unittest.TestCase):
    def test_are_utc_in_each_of_the_three_forms_of_http(self) -> None:
        forms = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        self.addCleanup(time.tzset)
        with patch.dict(os.environ, {"TZ": "America/New_York"}):
            time.tzset()
            self.assertEqual([date_of({"date": form}) for form in forms], [784_111_777] * 3)


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

    def test_that_are_refused_try_the_key_that_another_has_found(self) -> None:
        self.folder.deliver({"current": "A", "next": "B"})
        signer = open_signer(self.folder.path, reports=False)
        sent: list[str] = []

        def send(signed: Signed) -> Said:
            sent.append(signed.kid)
            return Said(200 if signed.kid == "B" else 401)

        def send_late(signed: Signed) -> Said:
            if not sent:
                signer.authenticate(send, audience=AUDIENCE)
                self.folder.deliver({"current": "A", "next": "C", "previous": "B"})
            return send(signed)

        self.assertEqual(signer.authenticate(send_late, audience=AUDIENCE).status_code, 200)
        self.assertEqual(sent, ["A", "B", "A", "B"])


class Thread(SignerTest):
    """The one that a signer has of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.folder.deliver({"current": "A"})
        self.started: list[threading.Thread] = []
        start = threading.Thread.start

        def noted(thread: threading.Thread) -> None:
            if thread.name.startswith("rekeyd-signer"):
                self.started.append(thread)
            start(thread)

        patched = patch.object(threading.Thread, "start", noted)
        patched.start()
        self.addCleanup(patched.stop)

    def running(self) -> int:
        return sum(thread.is_alive() for thread in self.started)

    def test_is_one_for_all_signatures_and_ends_when_the_signer_is_closed(self) -> None:
        for reports in (None, False):
            with self.subTest(reports=reports), ThreadPoolExecutor(20) as pool:
                self.started.clear()
                signer = open_signer(self.folder.path, reports=reports)
                made = list(pool.map(lambda _: signer.assertion(audience=AUDIENCE).kid, range(200)))
                self.assertEqual((set(made), len(self.started), self.running()), ({"A"}, 1, 1))
                signer.close()
                self.assertEqual(self.running(), 0)
                self.assertEqual(signer.assertion(audience=AUDIENCE).kid, "A")
                self.until("the thread of a closed signer ends with its look", lambda: self.running() == 0)

    def test_does_not_outlive_a_signer_that_cannot_be_opened_or_that_nothing_refers_to(self) -> None:
        signer = open_signer(self.folder.path, reports=False)
        self.assertEqual(self.running(), 1)
        del signer
        self.until("it ends with its signer", lambda: self.running() == 0)
        self.folder.move("emptied")
        with self.assertRaises(SignerError):
            open_signer(self.folder.path)
        self.until("it ends with the error", lambda: self.running() == 0)

    def test_that_waits_for_the_volume_of_the_reports_stops_no_new_keys(self) -> None:
        hangs, answers = threading.Event(), threading.Event()
        self.addCleanup(answers.set)

        def report(*_: object) -> None:
            hangs.set()
            answers.wait()

        problems: list[SignerError] = []
        with patch("rekeyd_signer.reports.Reporter.report", report):
            signer = open_signer(self.folder.path, on_problem=problems.append)
            self.assertTrue(hangs.wait(30))
            self.folder.deliver({"current": "B", "previous": "A"})
            self.assertEqual([signer.assertion(audience=AUDIENCE).kid for _ in range(3)], ["A", "B", "B"])
            self.assertEqual([problem.code for problem in problems], ["folder_unreadable"])
            self.assertEqual(self.running(), 2)
            answers.set()
            self.until("the one that has waited ends", lambda: self.running() == 1)
            signer.close()
            self.assertEqual(self.running(), 0)


class Folders(SignerTest):
    def test_may_be_missing_for_a_moment(self) -> None:
        self.folder.deliver({"current": "A"})
        self.folder.move("away")
        with patch("time.sleep", side_effect=lambda _: self.folder.move("back")) as sleep:
            signer = open_signer(self.folder.path, reports=False)
        sleep.assert_called_once()
        self.assertEqual(signer.assertion(audience=AUDIENCE).kid, "A")

    def test_on_a_volume_that_hangs_stop_no_login(self) -> None:
        self.folder.deliver({"current": "A"})
        problems: list[SignerError] = []
        signer = open_signer(self.folder.path, reports=False, on_problem=problems.append)
        self.folder.deliver({"current": "B"})
        path = self.folder.path / "current.jwk.json"
        text = path.read_text()
        path.resolve().unlink()
        # Reading it waits until somebody writes.
        os.mkfifo(path.resolve())
        self.assertEqual([signer.assertion(audience=AUDIENCE).kid for _ in range(3)], ["A", "A", "A"])
        self.assertEqual([problem.code for problem in problems], ["folder_unreadable"] * 3)
        self.assertIn("does not answer", str(problems[0]))
        sent: list[str] = []

        def send(signed: Signed) -> Said:
            sent.append(signed.kid)
            if signed.kid == "A":
                threading.Thread(target=path.write_text, args=(text,)).start()
            return Said(401 if signed.kid == "A" else 200)

        # A refusal waits for the folder: without a newer set there is nothing to go on with.
        self.assertEqual(signer.authenticate(send, audience=AUDIENCE).status_code, 200)
        self.assertEqual(sent, ["A", "B"])

    def test_that_no_path_leads_to_are_said_so_and_stop_no_login(self) -> None:
        self.folder.deliver({"current": "A"})
        problems: list[SignerError] = []
        link = self.root / "link"
        link.symlink_to(self.folder.path)
        signer = open_signer(link, reports=False, on_problem=problems.append)
        for target in ("link", "x" * 300):
            with self.subTest(target[:4]):
                link.unlink()
                link.symlink_to(target)
                self.assertEqual(signer.assertion(audience=AUDIENCE).kid, "A")
                with self.assertRaises(SignerError) as raised:
                    open_signer(link, reports=False)
                self.assertEqual(raised.exception.code, "folder_unreadable")
        self.assertEqual([problem.code for problem in problems], ["folder_unreadable"] * 2)
        circle = self.root / "circle"
        circle.mkdir()
        (circle / "..data").symlink_to("..data")
        with self.assertRaises(SignerError):
            open_signer(circle, reports=False)


def sign_in_once(signer: Any, send: Callable[[Signed], Said]) -> int:
    return int(signer.authenticate(send, audience=AUDIENCE).status_code)


class Secrets(SignerTest):
    def test_are_in_no_error_and_in_no_variable_of_its_frames(self) -> None:
        secret = self.keys.jwk("A")["d"]
        whole = json.dumps(self.keys.jwk("A"))
        texts = {
            "text after its end": whole + "}",
            "half of it": whole[:-40],
            "lists in lists without end": whole[:-1] + f', "z": {"[" * 100_000}{"]" * 100_000}}}',
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

    def test_a_callback_that_raises_stops_no_sign_in(self) -> None:
        self.folder.deliver({"current": "A"})

        def broken(_: SignerError) -> None:
            raise ValueError("a fault of the application")

        signer = open_signer(self.folder.path, reports=False, on_problem=broken)
        self.folder.move("away")
        with self.assertLogs("rekeyd_signer", "ERROR") as logs:
            signer.assertion(audience=AUDIENCE)
        self.assertIn("a fault of the application", logs.output[0])

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


class Log(SignerTest):
    def test_has_one_warning_of_a_folder_that_stays_unreadable(self) -> None:
        self.folder.deliver({"current": "A"})
        signer = open_signer(self.folder.path, reports=False)
        self.folder.path.rename(self.root / "away")
        with self.assertLogs("rekeyd_signer", "WARNING") as logged:
            for _ in range(3):
                self.assertEqual(signer.assertion(audience=AUDIENCE).kid, "A")
        self.assertEqual(len(logged.records), 1)
        self.assertIn(str(self.folder.path), logged.records[0].getMessage())
