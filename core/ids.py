"""Identifiers: time-ordered UUIDs inside, prefixed opaque strings outside.

Invariant: what a client sees (`grant_0198…`) tells the kind of thing and nothing that can be counted or
guessed: 74 of the bits are random. The time in front keeps the indexes of busy tables compact.
"""

import secrets
import time
import uuid


def new_id() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): 48 bits of milliseconds, then random bits."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def public_id(*, prefix: str, value: uuid.UUID) -> str:
    """The form of an id that leaves the house: `prefix_` and 32 hexadecimal digits."""
    return f"{prefix}_{value.hex}"


def parse_public_id(text: str, *, prefix: str) -> uuid.UUID | None:
    """The UUID behind a public id of that kind, or None when the text is none."""
    head, separator, digits = text.partition("_")
    if head != prefix or not separator or len(digits) != 32:
        return None
    try:
        value = uuid.UUID(hex=digits)
    except ValueError:
        return None
    return value if value.hex == digits else None
