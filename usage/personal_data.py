"""All data of a user and of the personal account, as one JSON document.

Invariant: it contains what is stored about the person and the account, and no secret: no hash of a password
or key, no encrypted key. It is built from rows that are read in chunks, whatever their number.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet

from accounts import viewing
from accounts.models import (
    Account,
    ApiKey,
    Invitation,
    Membership,
    Project,
    ProviderKey,
    TeamRequest,
    User,
    WebhookEndpoint,
)
from billing.models import (
    AlertSettings,
    AutoTopUp,
    BillingProfile,
    Charge,
    Dispute,
    Entry,
    Grant,
    InvitationCode,
    Mail,
    MonthlyBudget,
    PlanChange,
    Purchase,
    Redemption,
    Referral,
    Refund,
    Subscription,
)
from core.models import Identified, StaffAct
from usage.models import ChargeReport, Export, RefusedCalls, StatementEmails

FORMAT = "refill-personal-data/1"
CHUNK = 1000  # rows read at once


def as_json(user: User, account: Account, now: datetime) -> Iterator[str]:
    """The document in parts. `account` is the user's personal account."""
    yield json.dumps({"format": FORMAT, "made_at": now.isoformat(), "id": user.public_id})[:-1]
    for name, rows, fields in parts(user, account):
        yield f', "{name}": ['
        separator = "\n"
        for row in rows.values(*fields).iterator(chunk_size=CHUNK):
            yield separator + json.dumps(_public(rows.model, row), cls=DjangoJSONEncoder)
            separator = ",\n"
        yield "]"
    yield "}\n"


def parts(user: User, account: Account) -> list[tuple[str, QuerySet[Any], tuple[str, ...]]]:
    """Each part with its rows and the columns that it contains."""

    def own(model: type[Model]) -> QuerySet[Any]:
        return model._default_manager.filter(account=account).order_by("pk")

    user_fields = (
        *("id", "email", "first_name", "last_name", "language", "browser_language", "theme", "date_joined"),
        "last_login",
    )
    purchase_fields = (
        *("id", "kind", "offer", "label", "quantity", "credits", "amount", "list_amount", "currency", "tax"),
        *(
            "status",
            "payment_method",
            "promotion_code",
            "invoice_number",
            "billed_to",
            "created_at",
            "paid_at",
        ),
        *("refunded",),
    )
    charge_fields = (
        *("id", "service", "action", "credits", "returned", "covered_by", "conversation", "project_id"),
        *("balance_before", "balance_after", "created_at"),
    )
    entry_fields = (
        *("seq", "kind", "credits", "debt", "balance_after", "grant_id", "charge_id", "reason", "created_at"),
    )
    return [
        ("user", User.objects.filter(pk=user.pk), user_fields),
        ("addresses", EmailAddress.objects.filter(user=user), ("email", "verified", "primary")),
        (
            "sessions",
            UserSession.objects.filter(user=user),
            ("created_at", "last_seen_at", "ip", "user_agent"),
        ),
        (
            "second_factors",
            Authenticator.objects.filter(user=user).order_by("pk"),
            ("type", "data__name", "created_at", "last_used_at"),
        ),
        (
            "accounts_at_other_sites",
            SocialAccount.objects.filter(user=user).order_by("pk"),
            ("provider", "uid", "extra_data", "date_joined", "last_login"),
        ),
        ("memberships", Membership.objects.filter(user=user), ("account__name", "role", "created_at")),
        (
            "team_requests",
            TeamRequest.objects.filter(user=user),
            ("name", "kind", "note", "status", "answer", "created_at"),
        ),
        (
            "team_invitations",
            Invitation.objects.filter(email=user.email).order_by("pk"),
            ("account__name", "role", "created_at", "expires_at", "accepted_at"),
        ),
        (
            "account",
            Account.objects.filter(pk=account.pk),
            ("id", "name", "external_id", "zone", "on_wall", "created_at"),
        ),
        (
            "api_keys",
            own(ApiKey),
            ("id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"),
        ),
        ("provider_keys", own(ProviderKey), ("provider", "last_four", "created_at")),
        ("webhook_endpoints", own(WebhookEndpoint), ("id", "url", "description", "events", "created_at")),
        ("projects", own(Project), ("id", "name", "daily_limit", "created_at", "archived_at")),
        (
            "subscription",
            own(Subscription),
            ("plan", "state", "interval", "currency", "amount", "period_start", "period_end"),
        ),
        ("plan_changes", own(PlanChange), ("left", "entered", "reason", "created_at")),
        (
            "billing_profile",
            own(BillingProfile),
            ("invoice_name", "invoice_address", "tax_id", "card_brand", "card_last4", "card_expires"),
        ),
        (
            "alerts",
            own(AlertSettings),
            ("enabled", "below", "also_below", "by_email", "extra_addresses", "confirmed_addresses"),
        ),
        ("statement_emails", own(StatementEmails), ("month", "declined")),
        ("monthly_budget", own(MonthlyBudget), ("credits", "pauses")),
        ("automatic_top_up", own(AutoTopUp), ("enabled", "below", "pack", "currency", "monthly_amount")),
        ("purchases", own(Purchase), purchase_fields),
        (
            "refunds",
            own(Refund),
            (
                *("id", "purchase_id", "amount", "currency", "status", "buyer_reason", "decision"),
                "created_at",
            ),
        ),
        ("disputes", own(Dispute), ("purchase_id", "amount", "currency", "status", "created_at")),
        ("redeemed_codes", own(Redemption), ("promotion__code", "credits", "created_at")),
        ("invitation_code", own(InvitationCode), ("code",)),
        ("invitations_sent", Referral.objects.filter(inviter=account), ("state", "created_at")),
        ("invitation_accepted", Referral.objects.filter(invited=account), ("state", "created_at")),
        (
            "grants",
            own(Grant),
            ("id", "kind", "label", "credits", "remaining", "expires_at", "services", "created_at"),
        ),
        ("charges", own(Charge), charge_fields),
        ("exports", own(Export), ("id", "filters", "state", "rows", "created_at", "expires_at")),
        ("refused_calls", own(RefusedCalls), ("code", "service", "calls", "first_at", "last_at")),
        ("e_mails", own(Mail), ("template", "language", "recipients", "created_at", "sent_at")),
        ("reported_charges", own(ChargeReport), ("charge_id", "reason", "answer", "created_at")),
        (
            "views_by_staff",
            StaffAct.objects.filter(account_id=account.pk, act=viewing.BEGIN).order_by("created_at"),
            ("created_at",),
        ),
        ("transactions", own(Entry).order_by("seq"), entry_fields),
    ]


_LINKS: dict[str, type[Identified]] = {
    "project_id": Project,
    "grant_id": Grant,
    "charge_id": Charge,
    "purchase_id": Purchase,
}


def _public(model: type[Model], row: dict[str, Any]) -> dict[str, Any]:
    """The row with the ids of the API in the place of keys of the database."""
    public = {}
    for name, value in row.items():
        linked = _LINKS.get(name, model if name == "id" else None)
        if linked is not None and issubclass(linked, Identified):
            value = linked.public_id_of(value)
        public[name.removesuffix("_id").replace("__", "_")] = value
    return public
