"""Identifiers: time-ordered UUIDs inside, prefixed opaque strings outside.

Invariant: what a client sees (`grant_0198…`) names the kind of object and can be neither counted nor
guessed: 62 of its bits are random. The time in front keeps the indexes of busy tables compact.
"""

import secrets
import time
import uuid


def new_id() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): milliseconds, their fraction in 12 bits, then 62 random bits.

    Ids created by one process sort in the order of their creation.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def public_id(*, prefix: str, value: uuid.UUID) -> str:
    """The id that clients see: `prefix_` and 32 hexadecimal digits."""
    return f"{prefix}_{value.hex}"


def parse_public_id(text: str, *, prefix: str) -> uuid.UUID | None:
    """The UUID behind a public id of that kind, or None when the text is not such an id."""
    head, separator, digits = text.partition("_")
    if head != prefix or not separator or len(digits) != 32:
        return None
    try:
        value = uuid.UUID(hex=digits)
    except ValueError:
        return None
    return value if value.hex == digits else None
