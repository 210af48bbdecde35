"""Private keys as JSON Web Keys, and what signs with them."""

from __future__ import annotations

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
    if jwk.get("kty") != kty or (crv is not None and jwk.get("crv") != crv) or not isinstance(jwk.get("d"), str):
        return "is not a private key that can sign its alg"
    try:
        key = SigningKey(role, kid, alg, jwt.PyJWK(jwk, algorithm=alg).key)
        # Found out here, and not at the first login.
        key.sign({})
        return key
    except Exception:  # whatever the parser says may quote the key
        return "is not a private key that can sign its alg"


def parse_object(data: bytes) -> Union[dict[str, Any], None]:
    """None for what is no JSON object: the parser's own error holds the text, which may be a private key."""
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
