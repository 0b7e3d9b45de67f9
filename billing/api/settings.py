"""/alerts, /monthly-budget and /auto-top-up: settings for spending and low credits."""

import uuid
from datetime import datetime

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import User
from billing import models, offers, selectors, stripe_gateway
from billing.api import request_schemas, response_schemas
from billing.api.cards import card_of
from billing.api.purchases import OF_STRIPE
from billing.notifications import alert_addresses, low_credit_alerts, monthly_budgets
from billing.purchases import auto_top_up, top_up_settings
from core import idempotency, json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.fields import AccountNamed, AccountQuery, instant_or_none


class Alerts(Endpoint):
    """The account's low-credit alert."""

    scopes = {"GET": "manage", "PUT": "manage"}
    raises = {"PUT": (alert_addresses.TooManyAddresses,)}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.AlertsAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, AccountQuery)
        saved = low_credit_alerts.get_settings(account_of(request, query.get("account")))
        return json_body.answer(_alerts(saved))

    @extend_schema(request=request_schemas.AlertsInput, responses=response_schemas.AlertsAnswer)
    def put(self, request: Request) -> HttpResponse:
        """Set the low-credit alert. Additional addresses get alerts once their readers have agreed."""
        body = request_schemas.AlertsInput.checked(request.data)
        saved = low_credit_alerts.save_settings(
            account_id=account_of(request, body.get("account")),
            enabled=body["enabled"],
            below=body["below"],
            also_below=body.get("also_below", []),
            by_email=body.get("by_email", True),
            extra_addresses=body.get("extra_addresses", []),
            now=self.now,
        )
        return json_body.answer(_alerts(saved))


class MonthlyBudget(Endpoint):
    """What the account plans to spend in a calendar month, and what is used of it."""

    scopes = {"GET": "manage", "PUT": "manage"}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.MonthlyBudgetAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, AccountQuery)
        account_id = account_of(request, query.get("account"))
        return json_body.answer(_monthly_budget(monthly_budgets.get(account_id, self.now)))

    @extend_schema(request=request_schemas.MonthlyBudgetInput, responses=response_schemas.MonthlyBudgetAnswer)
    def put(self, request: Request) -> HttpResponse:
        """Set the monthly budget; null removes it.

        Owners get an e-mail at 50, 80 and 100 per cent. With `pauses`, calls beyond it are refused (429
        `limit_reached`, `limit`: account) until the next month in the account's time zone.
        """
        body = request_schemas.MonthlyBudgetInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        saved = monthly_budgets.save(
            account_id, credits=body["credits"], pauses=body.get("pauses", False), now=self.now
        )
        return json_body.answer(_monthly_budget(saved))


class AutoTopUp(Endpoint):
    """The automatic top-up: its pack, its monthly limits and the result of the last purchase."""

    scopes = {"GET": "manage", "PUT": "manage"}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.AutoTopUpAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, AccountQuery)
        saved = top_up_settings.get(account_of(request, query.get("account")))
        return json_body.answer(_auto_top_up(saved, self.now))

    @extend_schema(request=request_schemas.AutoTopUpInput, responses=response_schemas.AutoTopUpAnswer)
    def put(self, request: Request) -> HttpResponse:
        """Set the automatic top-up. Fields that are left out keep their values."""
        body = request_schemas.AutoTopUpInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        before = top_up_settings.get(account_id)
        saved = top_up_settings.change(
            account_id=account_id,
            enabled=body["enabled"],
            below=body.get("below", before.below),
            pack=body.get("pack", before.pack),
            currency=offers.resolve_currency(body.get("currency") or before.currency),
            monthly_amount=body.get("monthly_amount", before.monthly_amount),
            monthly_count=body.get("monthly_count", before.monthly_count),
            user=request.user if isinstance(request.user, User) else before.set_by,
            now=self.now,
        )
        return json_body.answer(_auto_top_up(saved, self.now))


class ConfirmTopUp(Endpoint):
    """Confirm a failed automatic top-up whose payment the bank wants confirmed.

    `url` is the bank's page for the cardholder, which leads back to the portal. Where the payment needs no
    page any more it is paid at once, and automatic top-up goes on.
    """

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_STRIPE, stripe_gateway.CardDeclined)}
    takes_key = "required"

    @extend_schema(request=AccountNamed, responses=response_schemas.ConfirmedTopUp)
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = AccountNamed.checked(request.data)
        account_id = account_of(request, body.get("account"))

        def confirm() -> tuple[int, response_schemas.ConfirmedTopUp]:
            short_key = uuid.uuid5(account_id, key).hex  # Stripe's keys have at most 255 characters
            url = auto_top_up.confirm_failed_payment(account_id, key=short_key, now=self.now)
            paid = url is None and auto_top_up.refresh_confirmed_payment(account_id, self.now)
            settings = top_up_settings.get(account_id)
            return 200, {"paid": paid, "url": url, "auto_top_up": _auto_top_up(settings, self.now)}

        return idempotency.once(request, owner=account_id, key=key, now=self.now, act=confirm, atomic=False)


def _alerts(settings: models.AlertSettings) -> response_schemas.AlertsAnswer:
    return {
        "enabled": settings.enabled,
        "below": plain(settings.below),
        "also_below": [plain(threshold) for threshold in settings.also_below],
        "by_email": settings.by_email,
        "extra_addresses": settings.extra_addresses,
        "unconfirmed_addresses": alert_addresses.split(settings)[1],
    }


def _monthly_budget(spending: monthly_budgets.Spending | None) -> response_schemas.MonthlyBudgetAnswer:
    return {
        "credits": plain(spending.credits) if spending else None,
        "pauses": spending.pauses if spending else False,
        "used": plain(spending.used) if spending else None,
        "resets_at": instant_or_none(spending.resets_at if spending else None),
    }


def _auto_top_up(settings: models.AutoTopUp, now: datetime) -> response_schemas.AutoTopUpAnswer:
    spent, count = top_up_settings.spent_this_month(settings.pk, settings.currency, now)
    profile = selectors.profile_of(settings.pk)
    card = card_of(profile.card_brand, profile.card_last4, profile.card_expires)
    return {
        "enabled": settings.enabled,
        "below": plain(settings.below),
        "pack": settings.pack or None,
        "currency": settings.currency or None,
        "monthly_amount": settings.monthly_amount,
        "monthly_count": settings.monthly_count,
        "spent_this_month": spent,
        "bought_this_month": count,
        "last_outcome": settings.last_outcome or None,
        "last_tried_at": instant_or_none(settings.last_tried_at),
        "card": card if profile.card_id else None,
        "confirmation_needed": bool(settings.payment_to_confirm),
    }
