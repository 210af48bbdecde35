from __future__ import annotations

from typing import Literal

SignerErrorCode = Literal["folder_unreadable", "no_key", "other_client", "clock", "report_failed"]


class SignerError(Exception):
    """What the signer raises or tells on purpose. Match on `code`; the message is for a person and never holds key material.

    - `folder_unreadable`: the key folder is not there, cannot be read or is damaged
    - `no_key`: the folder holds no key to sign with
    - `other_client`: the folder's new set is of another client (told only)
    - `clock`: the server refused an assertion whose times are wrong by the server's clock (told only)
    - `report_failed`: a report could not be written, although its folder is there (told only)
    """

    def __init__(self, code: SignerErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: SignerErrorCode = code
