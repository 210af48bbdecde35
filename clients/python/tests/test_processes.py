"""Processes and users that share a key folder."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import unittest
import weakref
from collections.abc import Callable
from typing import Any

from rekeyd_signer import SignerError, open_signer

from keyfolder import is_root
from signer_test import AUDIENCE, NOBODY, SignerTest


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
        return subprocess.Popen(
            command, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **pipes
        )

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

    def test_keep_no_signer_that_nothing_refers_to(self) -> None:
        self.folder.deliver({"current": "A"})
        signer = open_signer(self.folder.path)
        self.until("it reports", lambda: self.reports() != [])
        gone = weakref.ref(signer)
        del signer
        self.until("it is gone", lambda: gone() is None and self.reports() == [])

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

    def test_that_are_forked_sign_also_where_the_thread_of_the_parent_held_its_lock(self) -> None:
        self.folder.deliver({"current": "A"})
        signer = open_signer(self.folder.path, reports=False)
        self.addCleanup(signer.close)
        is_held, is_forked = threading.Event(), threading.Event()

        def hold() -> None:
            with signer._keys.watch._changed:
                is_held.set()
                is_forked.wait(30)

        holding = threading.Thread(target=hold)
        holding.start()
        is_held.wait(30)
        self.assertEqual(self.in_child(lambda: signer.assertion(audience=AUDIENCE).kid, is_forked.set), "A")
        holding.join()

    def test_that_are_forked_after_it_was_closed_report_nothing(self) -> None:
        self.folder.deliver({"current": "A"})
        signer = open_signer(self.folder.path)
        signer.close()

        def work() -> "tuple[str, int]":
            kid = signer.assertion(audience=AUDIENCE).kid
            # Its thread would write a report before it ends, or never end.
            for thread in threading.enumerate():
                if thread.name == "rekeyd-signer":
                    thread.join(30)
            return kid, sum(thread.name == "rekeyd-signer" for thread in threading.enumerate())

        self.assertEqual(self.in_child(work), ("A", 0))
        self.assertEqual(self.reports(), [])

    def in_child(self, work: Callable[[], Any], when_forked: Callable[[], None] = lambda: None) -> Any:
        context = multiprocessing.get_context("fork")
        said = context.Queue()
        child = context.Process(target=lambda: said.put(work()))
        child.start()
        when_forked()
        found = said.get(timeout=30)
        child.join()
        return found

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


if __name__ == "__main__":
    unittest.main()
