"""One mailbox, one address: what may be had once ever is counted by the mailbox behind an address.

Invariants: two spellings that reach the same mailbox have one canonical form; a claim outlives the user
and the account, and what is kept for it is a keyed hash from which nobody can read the address.
"""

import hashlib
import hmac
from datetime import datetime

from django.conf import settings

from accounts.models import VerifiedAddress

# Providers that ignore dots in the local part. Elsewhere a dot makes another mailbox.
_DOTS_MEAN_NOTHING = {"gmail.com"}
_SAME_PROVIDER = {"googlemail.com": "gmail.com"}


def canonical(email: str) -> str:
    """The form that all spellings of one mailbox share: lower case, no +tag, no dots at Gmail."""
    local, _, domain = email.strip().lower().rpartition("@")
    domain = _SAME_PROVIDER.get(domain, domain)
    local = local.partition("+")[0] or local
    if domain in _DOTS_MEAN_NOTHING:
        local = local.replace(".", "")
    return f"{local}@{domain}"


def claim_once(email: str, purpose: str, now: datetime) -> bool:
    """Claim something for a verified address; True for the first claim ever, False for every later one.

    Call it in the transaction that gives the thing, so that a failure takes the claim back with it. Of two
    claims at once the second waits for the first to commit (the unique index makes it).
    """
    _, first = VerifiedAddress.objects.get_or_create(
        address_hash=_hash(email), purpose=purpose, defaults={"first_seen_at": now}
    )
    return first


def was_claimed(email: str, purpose: str) -> bool:
    """Whether the mailbox behind the address has claimed this before."""
    return VerifiedAddress.objects.filter(address_hash=_hash(email), purpose=purpose).exists()


def _hash(email: str) -> bytes:
    """Keyed, because addresses can be guessed: without ADDRESS_PEPPER the table says nothing."""
    pepper = settings.ADDRESS_PEPPER.encode()
    return hmac.new(pepper, canonical(email).encode(), hashlib.sha256).digest()
