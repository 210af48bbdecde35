"""A service that fetches a token and calls an API with it, until it is told to stop.

    export KEYS=/var/lib/rekeyd/keys/185019846023/mcp-auth/4711
    export TOKEN_URL=https://auth.example.com/oauth/token API_URL=https://api.example.com/
    python service.py

Prints how often it called, and what failed. A real service would keep a token until it expires; this one fetches one for each call.
"""

from __future__ import annotations

import json
import os
import signal
import threading

import httpx

from rekeyd_signer import open_signer
from rekeyd_signer.httpx_auth import PrivateKeyJwt


def main() -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    token_url, api_url = os.environ["TOKEN_URL"], os.environ["API_URL"]
    calls, failures = 0, []
    with open_signer(os.environ["KEYS"]) as signer, httpx.Client() as client:
        auth = PrivateKeyJwt(signer, audience=os.environ.get("AUDIENCE"))
        while not stopped.wait(float(os.environ.get("EVERY_S", "1"))):
            calls += 1
            try:
                answer = client.post(token_url, data={"grant_type": "client_credentials"}, auth=auth).raise_for_status()
                token = answer.json().get("access_token")
                if not token:
                    raise ValueError("the token endpoint answered without an access_token")
                client.get(api_url, headers={"authorization": f"Bearer {token}"}).raise_for_status()
            except (httpx.HTTPError, ValueError) as error:
                failures.append(str(error))
    print(json.dumps({"calls": calls, "failures": failures}))


if __name__ == "__main__":
    main()
