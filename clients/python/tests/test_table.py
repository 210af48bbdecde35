"""Runs the table in clients/cases, which the signers of all languages share: each case once for each way in which an application can send."""

from __future__ import annotations

import asyncio
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

import httpx

from rekeyd_signer import Signer
from rekeyd_signer.httpx_auth import PrivateKeyJwt

from case_run import AUDIENCE, GRANT, Case, Send
from keyfolder import is_root, remove

CASES = Path(__file__).parents[2] / "cases"

# Reading the certificates of the machine costs more than a request does.
TLS = httpx.create_ssl_context()


def by_function(signer: Signer, url: str) -> httpx.Response:
    return signer.authenticate(
        lambda signed: httpx.post(url, data={**GRANT, **signed.form()}, verify=TLS), audience=AUDIENCE
    )


def by_auth(signer: Signer, url: str) -> httpx.Response:
    return httpx.post(url, data=GRANT, auth=PrivateKeyJwt(signer, audience=AUDIENCE), verify=TLS)


def by_async_auth(signer: Signer, url: str) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(verify=TLS) as client:
            return await client.post(url, data=GRANT, auth=PrivateKeyJwt(signer, audience=AUDIENCE))

    return asyncio.run(send())


class Table(unittest.TestCase):
    def run_case(self, case: dict[str, Any], send: Send) -> None:
        if "denied" in json.dumps(case) and is_root():
            self.skipTest("root may read everything")
        root = Path(tempfile.mkdtemp(prefix="rekeyd-case-"))
        self.addCleanup(remove, root)
        run = Case(self, case, send, root)
        for number, step in enumerate(case["steps"]):
            with self.subTest(step=number, what=next(iter(step))):
                run.run(step)


def add_cases() -> None:
    for file in sorted(CASES.glob("*.json")):
        for case in json.loads(file.read_text())["cases"]:
            sends = "authenticate" in json.dumps(case["steps"])
            for send in (by_function, by_auth, by_async_auth) if sends else (by_function,):
                name = f"test {file.stem}: {case['name']}" + (f" ({send.__name__})" if sends else "")
                assert not hasattr(Table, name), f"two cases are named {name}"
                setattr(Table, name, lambda self, case=case, send=send: self.run_case(case, send))


add_cases()

if __name__ == "__main__":
    unittest.main()
