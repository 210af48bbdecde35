"""Tells rekeyd which keys this process holds and which one it signs with, so that no rotation leaves it behind."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Optional

from .errors import SignerError

_AGAIN_S = 30.0
"""rekeyd counts a report for two minutes."""

_FORGOTTEN_S = 24 * 3600.0
"""The process of a report that old has crashed."""

_MOST_LOOKED_AT = 500
"""So many reports of other processes are looked at."""

_NO_PLACE = (FileNotFoundError, NotADirectoryError, PermissionError)
"""rekeyd makes the folder. Where it is not there, or cannot be written, nothing is reported."""


class Reporter:
    """The report of one process. One thread uses it. Raises nothing."""

    def __init__(self, folder: Path, tell: Callable[[SignerError], None]) -> None:
        host = re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname()) or "host"
        self._folder = folder
        self._path = folder / f"{host}-{os.getpid()}.json"
        self._tell = tell
        self._last: Optional[tuple[object, float]] = None
        """What was to be written last, also where that failed: it is not tried again before its time."""
        self._is_written = False

    def report(self, kids: list[str], signing: Optional[str]) -> None:
        """Writes when there is something new to say, or the last report is getting old."""
        if self._last is None:
            self._forget_old()
        said, at = (kids, signing), time.time()
        if self._last is not None and self._last[0] == said and abs(at - self._last[1]) < _AGAIN_S:
            return
        self._last = (said, at)
        self._write({"kids": kids, "signing": signing, "at": _rfc3339(at)})

    def close(self) -> None:
        """Takes the report back."""
        if self._is_written:
            self._is_written = False
            with suppress(OSError):
                self._path.unlink()

    def _forget_old(self) -> None:
        """rekeyd reads only the newest reports, and a container that restarts leaves one behind under each of its names."""
        oldest = time.time() - _FORGOTTEN_S
        with suppress(OSError):
            for path in _first(self._folder.glob("*.json"), _MOST_LOOKED_AT):
                with suppress(OSError):
                    if path.is_file() and path.stat().st_mtime < oldest:
                        path.unlink()

    def _write(self, report: dict[str, object]) -> None:
        draft = self._folder / f".{uuid.uuid4()}"
        try:
            with open(draft, "x", encoding="utf-8") as file:
                file.write(json.dumps(report) + "\n")
            # Readable whatever the umask: rekeyd may be another user. There is no secret in it.
            draft.chmod(0o644)
            draft.replace(self._path)
            self._is_written = True
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            if not isinstance(error, _NO_PLACE) and error.errno != errno.EROFS:
                why = f"The report {self._path} cannot be written ({error.strerror}). rekeyd does not know which keys this process has."
                self._tell(SignerError("report_failed", why))


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _first(paths: Iterable[Path], count: int) -> list[Path]:
    return [path for path, _ in zip(paths, range(count))]
