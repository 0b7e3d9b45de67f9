"""Which endpoint is answered by which function, and which of its parameters the sandbox understands.

Invariant: every route names an endpoint of the installed SDK (a test compares them). A parameter that
Stripe knows and the sandbox does not is refused loudly, never ignored: what works here works there.
"""

import functools
import re

from sandbox.api import payment_routes, plan_routes
from sandbox.api.route import Route

ROUTES = payment_routes.ROUTES + plan_routes.ROUTES


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str], Route]]:
    # Fixed paths before those with ids: /v1/invoices/create_preview is no invoice.
    ordered = sorted(ROUTES, key=lambda route: route.path.count("{"))
    return [
        (route.method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path) + r"\Z"), route)
        for route in ordered
    ]


def match(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the ids in its path; None when the sandbox has no such endpoint."""
    for wanted, pattern, route in _patterns():
        if wanted == method and (found := pattern.match(path)):
            return route, found.groupdict()
    return None
