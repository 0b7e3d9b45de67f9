"""The access of each route of the URLconf: one line for each. A route without a line fails the suite.

Add a line for every new route:
  PUBLIC          everyone, signed in or not; shows no data of any account
  SIGN_IN         sign-in pages and the user's own sign-in settings (protected by allauth)
  own()           the selected account of the signed-in member; the path has no id
  ids("charge")   the path has the id of an object of an account: other users get 404
  STAFF           the admin
  API             an endpoint of the REST API without an id: see its `scopes`
  api_ids(…)      an endpoint with an id, with valid bodies by method
  SIGNED          requests authenticated by a signature
  DEVELOPMENT     exists only with the sandbox (settings.SANDBOX)
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Line:
    access: str
    object_name: str = ""
    """The object of tests/access/world.py whose id is used in the path."""
    bodies: dict[str, Any] = field(default_factory=dict)
    """Request bodies by method."""
    buyers: bool = False
    """Whether a member without the role owner or billing is refused (403)."""


def own(*, buyers: bool = False) -> Line:
    return Line("own", buyers=buyers)


def ids(object_name: str, *, buyers: bool = False) -> Line:
    return Line("ids", object_name, buyers=buyers)


def api_ids(object_name: str, **bodies: Any) -> Line:
    return Line("api_ids", object_name, bodies)


PUBLIC = Line("public")
SIGN_IN = Line("sign_in")
STAFF = Line("staff")
API = Line("api")
SIGNED = Line("signed")
DEVELOPMENT = Line("development")

# Parts of the site with one access for all their routes, by path prefix.
PREFIXES = {"admin/": STAFF, "accounts/": SIGN_IN, "sandbox/": DEVELOPMENT}

ROUTES = {
    "healthz": PUBLIC,
    "healthz/background": PUBLIC,
    "readyz": PUBLIC,
    # usage
    "": own(),
    "counter": own(),
    "dashboard/balance": own(),
    "dashboard/activity": own(),
    "usage/": own(),
    "charges/<str:public_id>/": ids("charge"),
    "charges/<str:public_id>/report/": ids("charge"),
    "projects/": own(),
    "projects/<str:public_id>/": ids("project"),
    "projects/<str:public_id>/archive/": ids("project", buyers=True),
    "projects/<str:public_id>/restore/": ids("project", buyers=True),
    "wall/": PUBLIC,
    "wall/listing/": own(buyers=True),
    "history/": own(),
    "history/newer": own(),
    "history/export.csv": own(),
    "history/statement/": own(),
    "history/statement.json": own(),
    "clients/verify_statement.py": PUBLIC,
    ".well-known/refill-ledger-keys.json": PUBLIC,
    "documentation/": PUBLIC,
    "faq/": PUBLIC,
    "support/": PUBLIC,
    "brand.css": PUBLIC,
    "brand.svg": PUBLIC,
    # accounts
    "settings/": own(),
    "settings/account/": own(),
    "switch/<str:public_id>/": ids("account"),
    "keys/": own(),
    "keys/<str:public_id>/revoke/": ids("api_key"),
    "provider-keys/": own(),
    "provider-keys/<str:public_id>/delete/": ids("provider_key"),
    # pricing
    "pricing/": PUBLIC,
    "pricing/compare/": PUBLIC,
    "pricing/estimate/": PUBLIC,
    "pricing/<str:key>/": PUBLIC,
    # billing
    "billing/": own(),
    "billing/buy/": own(),
    "billing/buy/<slug:pack>/": own(buyers=True),
    "billing/purchases/new/": own(buyers=True),
    "billing/purchases/": own(),
    "billing/purchases/<str:public_id>/": ids("purchase"),
    "billing/purchases/<str:public_id>/return/": ids("purchase"),
    "billing/purchases/<str:public_id>/state/": ids("purchase"),
    "billing/purchases/<str:public_id>/left/": ids("purchase"),
    "billing/purchases/<str:public_id>/pay/": ids("purchase", buyers=True),
    "billing/purchases/<str:public_id>/cancel/": ids("purchase", buyers=True),
    "billing/purchases/<str:public_id>/invoice/": ids("purchase"),
    "billing/purchases/<str:public_id>/invoice.pdf": ids("purchase"),
    "billing/purchases/<str:public_id>/refund/": ids("purchase", buyers=True),
    "billing/purchases/<str:public_id>/refund/withdraw/": ids("purchase", buyers=True),
    "billing/subscription/": own(),
    "billing/subscription/cancel/": own(buyers=True),
    "billing/subscription/resume/": own(buyers=True),
    "billing/subscription/pause/": own(buyers=True),
    "billing/subscription/unpause/": own(buyers=True),
    "billing/alerts/": own(),
    "billing/auto-top-up/": own(buyers=True),
    "billing/card/": own(buyers=True),
    "billing/card/saved/": own(buyers=True),
    "billing/card/remove/": own(buyers=True),
    "billing/overdue/": own(buyers=True),
    "billing/auto-top-up/confirm/": own(buyers=True),
    "billing/auto-top-up/confirmed/": own(buyers=True),
    "billing/portal/": own(buyers=True),
    "billing/details/": own(buyers=True),
    "billing/redeem/": own(),
    "billing/invitations/": own(),
    "invite/<str:code>/": PUBLIC,
    "plans/": PUBLIC,
    "plans/<slug:key>/": own(buyers=True),
    "stripe/webhook/": SIGNED,
    # the REST API
    "api/v1/schema/": PUBLIC,
    "api/v1/docs/": PUBLIC,
    "api/v1/<path:nothing>": PUBLIC,
    "api/v1/balance": API,
    "api/v1/grants": API,
    "api/v1/transactions": API,
    "api/v1/services": API,
    "api/v1/services/<str:service>": API,
    "api/v1/estimates": API,
    "api/v1/charges": API,
    "api/v1/charges/batch": API,
    "api/v1/charges/<str:charge>": api_ids("charge"),
    "api/v1/charges/<str:charge>/reversals": api_ids("charge", POST={}),
    "api/v1/charges/<str:charge>/reports": api_ids("charge", POST={"reason": "?"}),
    "api/v1/holds": API,
    "api/v1/holds/<str:hold>": api_ids("hold"),
    "api/v1/holds/<str:hold>/capture": api_ids("hold", POST={"usage": {"tokens": 1}}),
    "api/v1/holds/<str:hold>/release": api_ids("hold", POST={}),
    "api/v1/usage": API,
    "api/v1/projects": API,
    "api/v1/projects/<str:project>": api_ids("project", PATCH={"name": "mine"}),
    "api/v1/provider-keys": API,
    "api/v1/provider-keys/<str:provider_key>": api_ids("provider_key"),
    "api/v1/plans": API,
    "api/v1/packs": API,
    "api/v1/checkouts": API,
    "api/v1/purchases": API,
    "api/v1/purchases/<str:purchase>": api_ids("purchase"),
    "api/v1/purchases/<str:purchase>/refund-requests": api_ids("purchase", POST={"reason": "?"}),
    "api/v1/subscription": API,
    "api/v1/subscription/change": API,
    "api/v1/subscription/cancel": API,
    "api/v1/subscription/resume": API,
    "api/v1/redemptions": API,
    "api/v1/alerts": API,
    "api/v1/auto-top-up": API,
    "api/v1/accounts": API,
    "api/v1/accounts/<str:account>": api_ids("account"),
    "api/v1/accounts/<str:account>/grants": api_ids("account", POST={"credits": "5", "kind": "bonus"}),
}
