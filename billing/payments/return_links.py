"""Links to which Stripe's pages return. Their reader may have no session: a backend can send buyers.

Invariant: a link is signed, so that only who has been sent to the page learns its outcome.
"""

from django.conf import settings
from django.core import signing
from django.urls import reverse

_SIGNER = signing.Signer(salt="billing.return_links")


def url(route: str, public_id: str) -> str:
    """The URL of the route for a purchase or an account."""
    return f"{settings.SITE_URL}{reverse(route, args=[_SIGNER.sign(public_id)])}"


def named_by(token: str) -> str:
    """The id that a link names; empty for a forged one."""
    try:
        return _SIGNER.unsign(token)
    except signing.BadSignature:
        return ""
