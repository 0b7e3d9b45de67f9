"""Layout of the admin (django-unfold): title, colours and side bar.

Invariant: the side bar shows only lists that the signed-in person may view.
"""

from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

Item = tuple[Any, str, str]  # title, icon, "app_model"

_GROUPS: list[tuple[Any, list[Item]]] = [
    (
        _("Users and accounts"),
        [
            (_("Users"), "person", "accounts_user"),
            (_("Accounts"), "account_balance_wallet", "accounts_account"),
            (_("Memberships"), "group", "accounts_membership"),
            (_("Team requests"), "group_add", "accounts_teamrequest"),
            (_("API keys"), "key", "accounts_apikey"),
            (_("Projects"), "dns", "accounts_project"),
            (_("Webhook endpoints"), "webhook", "accounts_webhookendpoint"),
            (_("Webhook deliveries"), "outbox", "accounts_webhookdelivery"),
            (_("Audit log"), "policy", "core_staffact"),
        ],
    ),
    (
        _("Credits"),
        [
            (_("Wallets"), "account_balance", "billing_wallet"),
            (_("Grants"), "redeem", "billing_grant"),
            (_("Ledger entries"), "receipt_long", "billing_entry"),
            (_("Adjustments"), "exposure", "billing_creditadjustment"),
            (_("Charges"), "bolt", "billing_charge"),
            (_("Reported charges"), "flag", "usage_chargereport"),
        ],
    ),
    (
        _("Money"),
        [
            (_("Purchases"), "shopping_cart", "billing_purchase"),
            (_("Refunds"), "undo", "billing_refund"),
            (_("Disputes"), "gavel", "billing_dispute"),
            (_("Subscriptions"), "autorenew", "billing_subscription"),
            (_("Surplus subscriptions"), "content_copy", "billing_surplussubscription"),
            (_("Automatic top-ups"), "bolt", "billing_autotopup"),
            (_("Promotions"), "confirmation_number", "billing_promotion"),
            (_("Invitations"), "person_add", "billing_referral"),
            (_("Stripe events"), "webhook", "billing_stripeevent"),
            (_("Reconciliation"), "balance", "billing_reconciliation"),
            (_("Stripe prices"), "sell", "billing_stripeprice"),
            (_("E-mails"), "mail", "billing_mail"),
        ],
    ),
    (
        _("Catalogue"),
        [
            (_("Catalogues"), "menu_book", "pricing_catalogue"),
            (_("Services"), "category", "pricing_service"),
            (_("Rate cards"), "price_change", "pricing_ratecard"),
            (_("Rates"), "sell", "pricing_rate"),
            (_("Plans"), "loyalty", "pricing_plan"),
            (_("Packs"), "inventory_2", "pricing_pack"),
            (_("Sales"), "percent", "pricing_sale"),
        ],
    ),
]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The side bar of unfold: groups of the lists that this person may view."""
    groups = []
    for title, items in _GROUPS:
        shown = [item for item in (_item(request, *entry) for entry in items) if item]
        if shown:
            groups.append({"title": title, "separator": True, "items": shown})
    return groups


def _item(request: HttpRequest, label: Any, icon: str, name: str) -> dict[str, Any] | None:
    app, model = name.split("_", 1)
    codename = apps.get_model(app, model)._meta.model_name
    if not request.user.has_perm(f"{app}.view_{codename}"):  # type: ignore[union-attr]
        return None
    return {"title": label, "icon": icon, "link": reverse(f"admin:{name}_changelist")}


def _title(request: HttpRequest) -> str:
    # Imported here: the settings import this module before the apps are loaded.
    from pricing.catalogue import cache as catalogue_cache

    return catalogue_cache.brand_name()


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _title,
    "SITE_HEADER": _title,
    "SITE_SUBHEADER": _("Administration"),
    "SITE_URL": "/",
    "SITE_SYMBOL": "toll",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: reverse("brand_icon")}
    ],
    "COLORS": "config.admin_colours.colours",
    "SCRIPTS": [lambda request: static("js/admin.js")],
    "DASHBOARD_CALLBACK": "config.admin_index.dashboard",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "COMMAND": {"search_models": True},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "config.admin_layout.navigation",
    },
}
