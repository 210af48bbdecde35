"""A key folder as rekeyd delivers it, for the steps of the table in clients/cases."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ROLES = ("current", "next", "previous")
CURVES: dict[str, type[Any]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
META = "meta.json"

# How a file is damaged: the members that it has of another key.
OF_OTHER = {"other_public": ("n", "x", "y"), "other_d": ("d",), "other_dp": ("dp",)}


def remove(folder: Path) -> None:
    """Under another name first: a signer may be writing its report there."""
    shutil.rmtree(folder.rename(folder.with_name(f"{folder.name}-removed")))


class Keys:
    """A pair for each name. RSA pairs take long to make, and one does for all of a case."""

    def __init__(self, algs: dict[str, str] | None = None) -> None:
        self._algs = algs or {}
        self._made: dict[str, Any] = {}

    def alg(self, name: str) -> str:
        return self._algs.get(name, "ES256")

    def private(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._make(self.alg(name))
        return self._made[name]

    def jwk(self, name: str) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(self.alg(name))
        members = json.loads(algorithm.to_jwk(self.private(name)))
        members.pop("key_ops", None)
        return {**members, "kid": name, "use": "sig", "alg": self.alg(name), "x-rekeyd": f"rekeyd-key:{name}"}

    @staticmethod
    def _make(alg: str) -> Any:
        if alg in CURVES:
            return ec.generate_private_key(CURVES[alg]())
        return ed25519.Ed25519PrivateKey.generate() if alg == "EdDSA" else rsa.generate_private_key(65537, 2048)


class KeyFolder:
    def __init__(self, root: Path, keys: Keys, layout: str = "links") -> None:
        self.path = root / "folder"
        self._keys = keys
        self._layout = layout
        self._count = 0

    def deliver(self, given: dict[str, str], damage: list[dict[str, Any]] | None = None) -> None:
        self._count += 1
        if self._layout == "plain":
            self._write(self.path, given, damage)
        elif self._layout == "former":
            version = self.path.parent / f".folder-{self._count}"
            self._write(version, given, damage)
            self._swap(version.name, self.path)
        else:
            self._deliver_links(given, damage)

    def move(self, how: str) -> None:
        away = self.path.with_name("away")
        if how == "emptied":
            remove(self.path)
            self.path.mkdir()
        elif how == "away":
            self.path.rename(away)
        else:
            away.rename(self.path)

    def _deliver_links(self, given: dict[str, str], damage: list[dict[str, Any]] | None) -> None:
        (self.path / "signers").mkdir(parents=True, exist_ok=True)
        version = self.path / f"..{self._count}"
        names = self._write(version, given, damage)
        for name in names:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")
        self._swap(version.name, self.path / "..data")
        for link in self.path.iterdir():
            if link.is_symlink() and link.name not in {*names, "..data"}:
                link.unlink()
        shutil.rmtree(self.path / f"..{self._count - 1}", ignore_errors=True)

    @staticmethod
    def _swap(target: str, link: Path) -> None:
        draft = link.with_name("..new")
        draft.symlink_to(target)
        draft.replace(link)

    def _write(self, folder: Path, given: dict[str, str], damage: list[dict[str, Any]] | None) -> list[str]:
        files = self._files(given)
        folder.mkdir(parents=True)
        for change in damage or []:
            files[change["file"]] = self._damaged(change, files[change["file"]])
        for name, text in files.items():
            if text is None:
                continue
            if isinstance(text, Denied):
                (folder / name).touch(0o000)
            elif isinstance(text, IsFolder):
                (folder / name).mkdir()
            elif isinstance(text, bytes):
                (folder / name).write_bytes(text)
            else:
                (folder / name).write_text(text)
        return list(files)

    def _files(self, given: dict[str, str]) -> dict[str, Any]:
        named = {role: given.get(role) for role in ROLES}
        first = next((name for name in named.values() if name is not None), None)
        meta = {
            "client_id": given.get("client_id", "client-4711"),
            "issuer": "https://auth.example.com",
            "alg": None if first is None else self._keys.alg(first),
            **named,
            "updated_at": "2026-11-23T03:00:00.000Z",
        }
        keys = {
            f"{role}.jwk.json": json.dumps(self._keys.jwk(name)) for role, name in named.items() if name is not None
        }
        return {**keys, META: json.dumps(meta)}

    def _damaged(self, damage: dict[str, Any], text: str) -> Any:
        how = damage["how"]
        if how == "half":
            return text[: len(text) // 2]
        if how == "empty":
            return ""
        if how == "missing":
            return None
        if how == "folder":
            return IsFolder()
        if how == "denied":
            return Denied()
        if how == "mark":
            return b"\xef\xbb\xbf" + text.encode()
        if how == "more":
            return text + "{}"
        if how == "latin1":
            return (text[:-1] + ',"z":"\u00e4"}').encode("latin-1")
        if how == "nan":
            return text[:-1] + ',"z":NaN}'
        return json.dumps(self._damaged_members(damage, json.loads(text)))

    def _damaged_members(self, damage: dict[str, Any], jwk: dict[str, Any]) -> dict[str, Any]:
        how = damage["how"]
        if how == "members":
            return {**jwk, **damage["members"]}
        if how == "other_key":
            return {**self._keys.jwk("X"), "kid": "X"}
        if how == "bad_alg":
            return {**jwk, "alg": "none"}
        if how == "no_secret":
            return without(jwk, "d")
        if how == "no_primes":
            return without(jwk, "p", "q", "dp", "dq", "qi")
        if how in OF_OTHER:
            other = self._keys.jwk("X")
            return {**jwk, **{name: other[name] for name in OF_OTHER[how] if name in jwk}}
        if how == "short_rsa":
            short = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(rsa.generate_private_key(65537, 1024)))
            return {**short, "kid": jwk["kid"], "alg": "RS256"}
        if how == "padded":
            return {**jwk, "d": jwk["d"] + "="}
        if how == "wrapped":
            return {**jwk, "d": jwk["d"][:4] + "\n" + jwk["d"][4:]}
        if how == "longer":
            name = "x" if "x" in jwk else "n"
            longer = base64.urlsafe_b64encode(b"\0" + base64.urlsafe_b64decode(jwk[name] + "=="))
            return {**jwk, name: longer.rstrip(b"=").decode()}
        raise ValueError(f"no runner knows the damage {how}")


def without(jwk: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in names}


class IsFolder:
    pass


class Denied:
    pass


def is_root() -> bool:
    return os.geteuid() == 0
