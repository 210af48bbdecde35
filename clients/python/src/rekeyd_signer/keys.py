"""Private keys as JSON Web Keys, and what signs with them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Union

import jwt

Role = Literal["current", "next", "previous"]
"""Which key it is: the one that signs, the one that will, or the one that did."""

# alg: the key's type, and its curve where the alg has one. A key of another curve would sign, and no server would take it.
_KINDS = {
    **{alg: ("RSA", None) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}

_PARTS = {"RSA": ("n", "e", "d", "p", "q", "dp", "dq", "qi"), "EC": ("x", "y", "d"), "OKP": ("x", "d")}
"""All have to be there (RFC 7518 section 6, RFC 8037 section 2)."""

_LEAST_MODULUS = 2048
"""In bits (RFC 7518 sections 3.3 and 3.5)."""

_NO_KEY = "is not a private key that can sign its alg"


@dataclass(frozen=True)
class SigningKey:
    role: Role
    kid: str
    alg: str
    key: Any = field(repr=False, compare=False)

    def sign(self, claims: dict[str, object]) -> str:
        return jwt.encode(claims, self.key, algorithm=self.alg, headers={"kid": self.kid, "typ": "JWT"})


def load_key(text: bytes, role: Role, kid: str) -> Union[SigningKey, str]:
    """Answers what is wrong with the text of the file, and never raises."""
    jwk = parse_object(text)
    if jwk is None:
        return "is not a JSON object"
    alg = jwk.get("alg")
    if jwk.get("kid") != kid or not isinstance(alg, str):
        return "is not the key that meta.json names"
    kty, crv = _KINDS.get(alg, (None, None))
    if kty is None or jwk.get("kty") != kty or (crv is not None and jwk.get("crv") != crv):
        return _NO_KEY
    try:
        if not all(_is_exact(jwk[part], kty) for part in _PARTS[kty]):
            return _NO_KEY
        private = jwt.PyJWK(jwk, algorithm=alg).key
        if kty == "RSA" and private.key_size < _LEAST_MODULUS:
            return _NO_KEY
        key = SigningKey(role, kid, alg, private)
        # Found out here, and not at the first login.
        key.sign({})
        return key
    except Exception:  # whatever the parser says may quote the key
        return _NO_KEY


def _is_exact(part: str, kty: str) -> bool:
    """Base64url and nothing else (RFC 7515 section 2): the decoder skips what is none. A number of an RSA key begins with no zero."""
    data = base64.urlsafe_b64decode(part + "==")
    begins_right = kty != "RSA" or data[:1] != b"\0"
    return begins_right and base64.urlsafe_b64encode(data).rstrip(b"=").decode() == part


def parse_object(data: bytes) -> Union[dict[str, Any], None]:
    """None for what is no JSON object: the parser's own error holds the text, which may be a private key. A member that is null is one that is not there."""
    try:
        # JSON is UTF-8 without a byte order mark, and has no NaN (RFC 8259). Given bytes, `loads` takes other encodings, too.
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return {name: member for name, member in value.items() if member is not None}


def _refuse(_: str) -> None:
    raise ValueError
