"""The format of an API key: `rk_<kind>_<43 digits of secret><6 digits of checksum>`.

Invariant: a mistyped, truncated or invented string is detected without a database query. The checksum does
not protect the secret (anyone can compute it); it only makes invalid keys cheap to refuse. The secret is 32
random bytes in base 62, which a double click selects completely.
"""

import hashlib
import re
import secrets
import zlib

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 43  # 62**43 > 2**256
CHECKSUM_LENGTH = 6  # 62**6 > 2**32
SHOWN_LENGTH = 16  # shown in lists: the kind and the first digits
_FORM = re.compile(rf"rk_(platform|account)_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}", re.ASCII)


def new_secret(kind: str) -> str:
    """A new key of the kind ("platform" or "account") with 256 random bits."""
    head = f"rk_{kind}_" + _base62(int.from_bytes(secrets.token_bytes(32), "big"), SECRET_LENGTH)
    return head + _checksum(head)


def is_well_formed(text: str) -> bool:
    """Whether format and checksum are those of a key (no database, no hash)."""
    if _FORM.fullmatch(text) is None:
        return False
    return text[-CHECKSUM_LENGTH:] == _checksum(text[:-CHECKSUM_LENGTH])


def hash_of(secret: str) -> bytes:
    """The stored hash. SHA-256 suffices: 256 random bits cannot be guessed, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


def shown_part(secret: str) -> str:
    """The start of the key, by which people recognise it."""
    return secret[:SHOWN_LENGTH]


def _checksum(head: str) -> str:
    return _base62(zlib.crc32(head.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = DIGITS[rest] + digits
    return digits.rjust(length, "0")
