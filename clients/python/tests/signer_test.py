"""What the tests of the signer share."""

from __future__ import annotations

import re
import socket
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keyfolder import KeyFolder, Keys, remove

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
        self.addCleanup(remove, self.root)
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
