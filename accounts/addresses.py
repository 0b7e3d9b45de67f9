"""Canonical e-mail addresses: benefits that are given once are counted by mailbox, not by spelling.

Invariants: spellings of the same mailbox have one canonical form; a claim remains when the user and the
account are deleted, as a keyed hash that does not reveal the address.
"""

import hashlib
import hmac
from datetime import datetime

from django.conf import settings

from accounts.models import VerifiedAddress

# Providers that ignore dots in the local part. Elsewhere a dot means another mailbox.
_DOTS_MEAN_NOTHING = {"gmail.com"}
_SAME_PROVIDER = {"googlemail.com": "gmail.com"}


def canonical(email: str) -> str:
    """The canonical form of all spellings of a mailbox: lower case, no +tag, no dots at Gmail."""
    local, _, domain = email.strip().lower().rpartition("@")
    domain = _SAME_PROVIDER.get(domain, domain)
    local = local.partition("+")[0] or local
    if domain in _DOTS_MEAN_NOTHING:
        local = local.replace(".", "")
    return f"{local}@{domain}"


def claim_once(email: str, purpose: str, now: datetime) -> bool:
    """Claim a benefit for a verified address; True for the first claim, False for every later one.

    Call it in the transaction that gives the benefit, so that an error rolls both back. Of two concurrent
    claims the second waits for the first one to commit (unique index).
    """
    _, first = VerifiedAddress.objects.get_or_create(
        address_hash=_hash(email), purpose=purpose, defaults={"first_seen_at": now}
    )
    return first


def _hash(email: str) -> bytes:
    """Keyed with ADDRESS_PEPPER, because addresses can be guessed."""
    pepper = settings.ADDRESS_PEPPER.encode()
    return hmac.new(pepper, canonical(email).encode(), hashlib.sha256).digest()
