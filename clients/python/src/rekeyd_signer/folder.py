"""Reads a client's key folder as rekeyd delivers it: names that are links through `..data` to one version. A secret mount may be a plain folder."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from .errors import SignerError
from .keys import Role, SigningKey, load_key, parse_object

_ROLES: tuple[Role, ...] = ("current", "next", "previous")

ATTEMPTS = 10
"""A set can be swapped while it is read; that it happens this often in a row is no accident."""

_MISSING_S = 0.02
"""A folder of version 0.1 is replaced by one of today once. Between the two there is none, for much less than this."""

Version = tuple[int, int, int]
"""Differs as soon as another set is in place."""


@dataclass(frozen=True)
class KeySet:
    client_id: str
    keys: tuple[SigningKey, ...]
    """`current`, `next`, `previous`: those that exist, in this order."""
    version: Version

    def first(self) -> Optional[SigningKey]:
        """The key that signs, whatever the server said so far: the next one only while there is no current."""
        return next((key for key in self.keys if key.role != "previous"), None)

    def by_kid(self, kid: str) -> Optional[SigningKey]:
        return next((key for key in self.keys if key.kid == kid), None)


def read_key_set(folder: Path, attempts: int = ATTEMPTS) -> KeySet:
    """Raises SignerError `folder_unreadable`."""
    problem = ""
    for attempt in range(attempts):
        # os.path.exists raises nothing; that of a Path does, as where a folder above may not be searched.
        if attempt > 0 and not os.path.exists(folder):
            time.sleep(_MISSING_S)
        found = _read_once(folder)
        if isinstance(found, KeySet):
            return found
        problem = found
    raise SignerError(
        "folder_unreadable",
        f"The key folder {folder} cannot be read: {problem}. "
        f"Check the path, that this user ({_user()}) may read it, and that rekeyd has delivered keys there.",
    )


def version_of(folder: Path) -> Version:
    """Costs one `stat`: cheap enough to be asked before every signature. Raises `OSError`."""
    found = os.stat(folder / "meta.json")
    return (found.st_dev, found.st_ino, found.st_mtime_ns)


def _read_once(folder: Path) -> Union[KeySet, str]:
    """Answers what is wrong as text: an exception would carry this frame, and the keys in its variables, to error reporters."""
    try:
        data = folder / "..data"
        # The link is followed once, and all files are read from that one version: two versions never mix.
        place = data.resolve(strict=True) if data.is_symlink() else folder.resolve(strict=True)
        version = version_of(place)
        meta = parse_object((place / "meta.json").read_bytes())
        if meta is None:
            return "meta.json is not a JSON object"
        client_id = _name(meta.get("client_id"))
        if client_id is None:
            return "meta.json has no client_id"
        kids = {role: _name(meta[role]) for role in _ROLES if role in meta}
        # All are read before the first is parsed, which takes longer: the version may be removed meanwhile.
        files = {role: (place / f"{role}.jwk.json").read_bytes() for role, kid in kids.items() if kid is not None}
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to themselves, before Python 3.13
        return str(error)
    keys: list[SigningKey] = []
    for role, kid in kids.items():
        if kid is None:
            return f"{role} in meta.json is not a kid"
        key = load_key(files[role], role, kid)
        if isinstance(key, str):
            return f"{role}.jwk.json {key}"
        keys.append(key)
    return KeySet(client_id, tuple(keys), version)


def _name(value: object) -> Optional[str]:
    """None for what is no text, or an empty one."""
    return value if isinstance(value, str) and value else None


def _user() -> str:
    return f"uid {os.geteuid()}" if hasattr(os, "geteuid") else "of this process"
