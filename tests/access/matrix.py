"""The access of each route of the URLconf: one line for each. A route without a line fails the suite.

Add a line for every new route:
  PUBLIC          everyone, signed in or not; shows no data of any account
  SIGN_IN         sign-in pages and the user's own sign-in settings (protected by allauth)
  own()           the selected account of the signed-in member; the path has no id. With `buyers=True`
                  only for owners and billing members, with `buyers="POST"` its GET is for every member
  ids("charge")   the path has the id of an object of an account: other users get 404
  STAFF           the admin
  api(…)          an endpoint of the REST API without an id, with the scope of each method
  api_ids(…)      an endpoint with an id, with the scope of each method and valid bodies by method; with
                  `platform=True` only platform keys may call it
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
    buyers: tuple[str, ...] = ()
    """The methods that a member without the role owner or billing may not use (403)."""
    scopes: dict[str, str] = field(default_factory=dict)
    """The scope that each method of an endpoint needs (docs/api.md)."""
    platform_only: bool = False


def own(*, buyers: bool | str = False) -> Line:
    return Line("own", buyers=_methods(buyers))


def ids(object_name: str, *, buyers: bool | str = False) -> Line:
    return Line("ids", object_name, buyers=_methods(buyers))


def _methods(buyers: bool | str) -> tuple[str, ...]:
    if isinstance(buyers, str):
        return (buyers,)
    return ("GET", "POST") if buyers else ()


def api(scopes: str, *, platform: bool = False) -> Line:
    return Line("api", scopes=_scopes(scopes), platform_only=platform)


def api_ids(object_name: str, scopes: str, *, platform: bool = False, **bodies: Any) -> Line:
    return Line("api_ids", object_name, bodies, scopes=_scopes(scopes), platform_only=platform)


def _scopes(text: str) -> dict[str, str]:
    """The scope of each method: "GET:read POST:spend"."""
    return {method: scope for method, _, scope in (part.partition(":") for part in text.split())}


PUBLIC = Line("public")
SIGN_IN = Line("sign_in")
STAFF = Line("staff")
SIGNED = Line("signed")
DEVELOPMENT = Line("development")

# Parts of the site with one access for all their routes, by path prefix.
PREFIXES = {"admin/": STAFF, "accounts/": SIGN_IN, "sandbox/": DEVELOPMENT}

ROUTES = {
    "healthz": PUBLIC,
    "healthz/background": PUBLIC,
    "readyz": PUBLIC,
    "language/": PUBLIC,
    # usage
    "": own(),
    "counter": own(),
    "live": own(),
    "dashboard/balance": own(),
    "dashboard/spending": own(),
    "dashboard/activity": own(),
    "usage/": own(),
    "usage/forecast/": own(),
    "usage/plans/": own(),
    "usage/swap/": own(),
    "refusals/": own(),
    "statement-emails/<str:token>/": SIGNED,
    "budgets/": own(),
    "budgets/<str:public_id>/": ids("hold"),
    "charges/<str:public_id>/": ids("charge"),
    "charges/<str:public_id>/report/": ids("charge"),
    "projects/": own(buyers="POST"),
    "projects/<str:public_id>/": ids("project", buyers="POST"),
    "projects/<str:public_id>/archive/": ids("project", buyers=True),
    "projects/<str:public_id>/restore/": ids("project", buyers=True),
    "members/": own(buyers="POST"),
    "members/leave/": own(),
    "members/invitations/<str:public_id>/revoke/": ids("invitation", buyers="POST"),
    "members/<str:public_id>/": ids("member", buyers=True),
    "members/<str:public_id>/remove/": ids("member", buyers=True),
    "members/<str:public_id>/hand-over/": ids("member", buyers=True),
    "teams/new/": own(),
    "teams/requests/<str:public_id>/withdraw/": ids("team_request"),
    "wall/": PUBLIC,
    "wall/listing/": own(buyers=True),
    "history/": own(),
    "history/newer": own(),
    "history/export.csv": own(),
    "exports/": own(),
    "exports/<str:public_id>/history.csv": ids("export"),
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
    "settings/account/": own(buyers=True),
    "switch/<str:public_id>/": ids("account"),
    "join/<str:token>/": SIGNED,
    "keys/": own(buyers="POST"),
    "keys/<str:public_id>/": ids("api_key", buyers=True),
    "keys/<str:public_id>/revoke/": ids("api_key", buyers=True),
    "webhooks/": own(buyers=True),
    "webhooks/<str:public_id>/": ids("webhook_endpoint", buyers=True),
    "webhooks/<str:public_id>/rotate/": ids("webhook_endpoint", buyers=True),
    "webhooks/<str:public_id>/test/": ids("webhook_endpoint", buyers=True),
    "webhooks/<str:public_id>/enable/": ids("webhook_endpoint", buyers=True),
    "webhooks/<str:public_id>/delete/": ids("webhook_endpoint", buyers=True),
    "webhooks/deliveries/<str:public_id>/": ids("webhook_delivery", buyers=True),
    "webhooks/deliveries/<str:public_id>/redeliver/": ids("webhook_delivery", buyers=True),
    "provider-keys/": own(buyers="POST"),
    "provider-keys/<str:public_id>/delete/": ids("provider_key", buyers=True),
    # pricing
    "pricing/": PUBLIC,
    "pricing/compare/": PUBLIC,
    "pricing/estimate/": PUBLIC,
    "pricing/<str:key>/": PUBLIC,
    # billing
    "billing/": own(),
    "billing/buy/": own(),
    "billing/buy/<slug:pack>/": own(buyers=True),
    "billing/buy/<slug:pack>/sum": own(buyers=True),
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
    "billing/returned/<str:token>/": SIGNED,
    "billing/left/<str:token>/": SIGNED,
    "billing/subscription/": own(),
    "billing/subscription/cancel/": own(buyers=True),
    "billing/subscription/resume/": own(buyers=True),
    "billing/subscription/pause/": own(buyers=True),
    "billing/subscription/unpause/": own(buyers=True),
    "billing/budget/": own(buyers=True),
    "billing/alerts/": own(buyers=True),
    "billing/alerts/confirm/<str:token>/": SIGNED,
    "billing/auto-top-up/": own(buyers=True),
    "billing/card/": own(buyers=True),
    "billing/card/saved/": own(buyers=True),
    "billing/card/returned/<str:token>/": SIGNED,
    "billing/auto-top-up/returned/<str:token>/": SIGNED,
    "billing/card/remove/": own(buyers=True),
    "billing/overdue/": own(buyers=True),
    "billing/auto-top-up/confirm/": own(buyers=True),
    "billing/auto-top-up/confirmed/": own(buyers=True),
    "billing/portal/": own(buyers=True),
    "billing/details/": own(buyers=True),
    "billing/redeem/": own(buyers=True),
    "billing/invitations/": own(),
    "settings/delete/": own(),
    "settings/data.json": own(),
    "invite/<str:code>/": PUBLIC,
    "plans/": PUBLIC,
    "plans/<slug:key>/": own(buyers=True),
    "stripe/webhook/": SIGNED,
    # the REST API
    "api/v1/schema/": PUBLIC,
    "api/v1/docs/": PUBLIC,
    "api/v1/<path:nothing>": PUBLIC,
    "api/v1/balance": api("GET:read"),
    "api/v1/grants": api("GET:read"),
    "api/v1/transactions": api("GET:read"),
    "api/v1/services": api("GET:read"),
    "api/v1/services/<str:service>": api("GET:read"),
    "api/v1/estimates": api("POST:read"),
    "api/v1/charges": api("GET:read POST:spend"),
    "api/v1/charges/batch": api("POST:spend"),
    "api/v1/charges/<str:charge>": api_ids("charge", "GET:read"),
    "api/v1/charges/<str:charge>/reversals": api_ids("charge", "POST:manage", platform=True, POST={}),
    "api/v1/charges/<str:charge>/reports": api_ids("charge", "POST:read", POST={"reason": "?"}),
    "api/v1/holds": api("GET:spend POST:spend"),
    "api/v1/holds/<str:hold>": api_ids("hold", "GET:spend"),
    "api/v1/holds/<str:hold>/capture": api_ids("hold", "POST:spend", POST={"usage": {"tokens": 1}}),
    "api/v1/holds/<str:hold>/release": api_ids("hold", "POST:spend", POST={}),
    "api/v1/holds/<str:hold>/usage": api_ids("hold", "PUT:spend", PUT={"usage": {"tokens": 1}}),
    "api/v1/usage": api("GET:read"),
    "api/v1/refusals": api("GET:read"),
    "api/v1/events": api("GET:read"),
    "api/v1/statement": api("GET:read"),
    "api/v1/statement.json": api("GET:read"),
    "api/v1/exports": api("GET:read POST:read"),
    "api/v1/exports/<str:export>": api_ids("export", "GET:read"),
    "api/v1/exports/<str:export>/file": api_ids("export", "GET:read"),
    "api/v1/memorial-wall": api("GET:read"),
    "api/v1/projects": api("GET:manage POST:manage"),
    "api/v1/projects/<str:project>": api_ids("project", "PATCH:manage", PATCH={"name": "mine"}),
    "api/v1/provider-keys": api("GET:manage POST:manage"),
    "api/v1/provider-keys/<str:provider_key>": api_ids("provider_key", "DELETE:manage"),
    "api/v1/plans": api("GET:read"),
    "api/v1/packs": api("GET:read"),
    "api/v1/checkouts": api("POST:manage"),
    "api/v1/purchases": api("GET:read"),
    "api/v1/purchases/<str:purchase>": api_ids("purchase", "GET:read"),
    "api/v1/purchases/<str:purchase>/refund-requests": api_ids(
        "purchase", "POST:manage DELETE:manage", POST={"reason": "?"}
    ),
    "api/v1/purchases/<str:purchase>/cancel": api_ids("purchase", "POST:manage", POST={}),
    "api/v1/purchases/<str:purchase>/invoice": api_ids("purchase", "GET:read"),
    "api/v1/payment-method": api("GET:manage POST:manage DELETE:manage"),
    "api/v1/referral-link": api("GET:read"),
    "api/v1/referrals": api("GET:read"),
    "api/v1/settings": api("GET:manage PATCH:manage"),
    "api/v1/subscription": api("GET:read"),
    "api/v1/subscription/change": api("POST:manage"),
    "api/v1/subscription/cancel": api("POST:manage"),
    "api/v1/subscription/resume": api("POST:manage"),
    "api/v1/subscription/pause": api("POST:manage"),
    "api/v1/subscription/unpause": api("POST:manage"),
    "api/v1/subscription/pay": api("POST:manage"),
    "api/v1/redemptions": api("POST:manage"),
    "api/v1/monthly-budget": api("GET:manage PUT:manage"),
    "api/v1/alerts": api("GET:manage PUT:manage"),
    "api/v1/auto-top-up": api("GET:manage PUT:manage"),
    "api/v1/auto-top-up/confirm": api("POST:manage"),
    "api/v1/customer-portal": api("POST:manage"),
    "api/v1/members": api("GET:manage POST:manage"),
    "api/v1/members/<str:member>": api_ids(
        "member", "PATCH:manage DELETE:manage", PATCH={"monthly_limit": "5"}
    ),
    "api/v1/members/leave": api("POST:manage"),
    "api/v1/members/<str:member>/hand-over": api_ids("member", "POST:manage", POST={}),
    "api/v1/team-requests": api("GET:manage POST:manage"),
    "api/v1/team-requests/<str:team_request>": api_ids("team_request", "DELETE:manage"),
    "api/v1/invitations": api("GET:manage POST:manage"),
    "api/v1/invitations/<str:invitation>": api_ids("invitation", "DELETE:manage"),
    "api/v1/keys": api("GET:manage POST:manage"),
    "api/v1/keys/<str:key>": api_ids("api_key", "PATCH:manage DELETE:manage", PATCH={"name": "mine"}),
    "api/v1/webhook-endpoints": api("GET:manage POST:manage"),
    "api/v1/webhook-endpoints/<str:webhook_endpoint>": api_ids(
        "webhook_endpoint", "PATCH:manage DELETE:manage", PATCH={"description": "mine"}
    ),
    "api/v1/webhook-endpoints/<str:webhook_endpoint>/rotate-secret": api_ids(
        "webhook_endpoint", "POST:manage", POST={}
    ),
    "api/v1/webhook-endpoints/<str:webhook_endpoint>/test": api_ids(
        "webhook_endpoint", "POST:manage", POST={}
    ),
    "api/v1/webhook-deliveries": api("GET:manage"),
    "api/v1/webhook-deliveries/<str:webhook_delivery>/redeliver": api_ids(
        "webhook_delivery", "POST:manage", POST={}
    ),
    "api/v1/accounts": api("POST:manage", platform=True),
    "api/v1/accounts/<str:account>": api_ids("account", "GET:manage", platform=True),
    "api/v1/accounts/<str:account>/grants": api_ids(
        "account", "POST:manage", platform=True, POST={"credits": "5", "kind": "bonus"}
    ),
}
