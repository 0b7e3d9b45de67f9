"""The content security policy of pages: what they may load, and where their forms may lead."""

from collections.abc import Sequence
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

_STRIPE_PAGES = ["https://checkout.stripe.com", "https://billing.stripe.com"]  # forms may redirect there

# unfold uses Alpine, and the API documentation uses Swagger UI: neither works without these.
BY_PATH: dict[str, dict[str, Any]] = {
    "/admin/": {"script-src": [SELF, UNSAFE_EVAL, UNSAFE_INLINE], "style-src": [SELF, UNSAFE_INLINE]},
    "/api/v1/docs/": {"style-src": [SELF, UNSAFE_INLINE], "worker-src": [SELF, "blob:"]},
}


def portal(*, stripe: bool, others: Sequence[str] = ()) -> dict[str, Any]:
    """The policy of the portal's own pages. `stripe`: payment pages are Stripe's.

    `others`: further origins that forms redirect to, which sign users in.
    """
    return {
        "DIRECTIVES": {
            "default-src": [NONE],
            "script-src": [SELF],
            "style-src": [SELF],
            "img-src": [SELF, "data:"],
            "font-src": [SELF],
            "connect-src": [SELF],
            "manifest-src": [SELF],
            "form-action": [SELF, *(_STRIPE_PAGES if stripe else []), *others],
            "base-uri": [NONE],
            "frame-ancestors": [NONE],
        }
    }
