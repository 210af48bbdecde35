"""Signs the client assertions of an application with the keys that rekeyd rotates.

signer = open_signer("/var/lib/rekeyd/keys/185019846023/mcp-auth/4711")
response = signer.authenticate(
    lambda signed: httpx.post(token_url, data={"grant_type": "client_credentials", **signed.form()}),
    audience=token_url,
)
"""

from .errors import SignerError
from .keys import Role
from .login import CLIENT_ASSERTION_TYPE, Answer, Signed
from .signer import Signer, open_signer

__all__ = ["CLIENT_ASSERTION_TYPE", "Answer", "Role", "Signed", "Signer", "SignerError", "open_signer"]
