"""The written form of an API key: `rk_<kind>_<43 digits of secret><6 digits of checksum>`.

Invariant: a string that was mistyped, cut, or made up without knowing this form is told from a key by
arithmetic alone, before anything asks the database. The checksum is no protection of the secret (anybody
can compute it); it only makes garbage cheap. The secret is 32 random bytes in base 62, which a double
click selects whole.
"""

import hashlib
import re
import secrets
import zlib

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 43  # 62**43 > 2**256
CHECKSUM_LENGTH = 6  # 62**6 > 2**32
SHOWN_LENGTH = 16  # what stays readable in lists: the kind and the first digits
_FORM = re.compile(rf"rk_(platform|account)_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}", re.ASCII)


def new_secret(kind: str) -> str:
    """A fresh key of that kind ("platform" or "account"), 256 random bits in it."""
    head = f"rk_{kind}_" + _base62(int.from_bytes(secrets.token_bytes(32), "big"), SECRET_LENGTH)
    return head + _checksum(head)


def is_well_formed(text: str) -> bool:
    """Whether the text can be a key at all: form and checksum (no database, no hash)."""
    if _FORM.fullmatch(text) is None:
        return False
    return text[-CHECKSUM_LENGTH:] == _checksum(text[:-CHECKSUM_LENGTH])


def hash_of(secret: str) -> bytes:
    """What is stored. Plain SHA-256 is right: 256 random bits cannot be guessed, nothing need be slow."""
    return hashlib.sha256(secret.encode()).digest()


def shown_part(secret: str) -> str:
    """The start of the key by which a person recognises it."""
    return secret[:SHOWN_LENGTH]


def _checksum(head: str) -> str:
    return _base62(zlib.crc32(head.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = DIGITS[rest] + digits
    return digits.rjust(length, "0")
