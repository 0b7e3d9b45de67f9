"""/plans, /packs, /redemptions: what the account can buy, and promotion codes."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts import guesses
from accounts.authentication import account_of, principal_of
from accounts.models import Account
from billing import offers, selectors
from billing.api import request_schemas, response_schemas
from billing.models import Subscription
from billing.promotions import codes
from billing.promotions.redemption import BalanceTooLarge, CodeRefused, UnknownCode
from core import idempotency, json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.fields import instant
from core.pagination import Page, PageQuery, page_of_catalogue
from pricing.models import Plan


class Plans(Endpoint):
    """Plans on offer, and the account's own plan."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.Plan])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        subscription = selectors.subscription_of(account_of(request, query.get("account")))
        shown = [
            plan
            for plan in Plan.objects.order_by("rank", "position")
            if plan.open_to_new_members or (subscription and plan.key == subscription.plan)
        ]
        answer = page_of_catalogue(
            shown, query, key=lambda plan: plan.key, build=lambda plan: _plan(plan, subscription)
        )
        return json_body.answer(answer)


class Packs(Endpoint):
    """Every pack on sale, with its price in each currency."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.Pack])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        paid_plan = selectors.has_paid_plan(account_of(request, query.get("account")))
        by_pack: dict[str, list[offers.PackOffer]] = {}
        for currency in offers.currencies():
            for offer in offers.list_packs(currency=currency, paid_plan=paid_plan, now=self.now):
                by_pack.setdefault(offer.key, []).append(offer)
        found = list(by_pack.values())
        answer = page_of_catalogue(found, query, key=lambda offers: offers[0].key, build=_pack)
        return json_body.answer(answer)


class Redemptions(Endpoint):
    """Redeem a promotion or invitation code."""

    scopes = {"POST": "manage"}
    raises = {"POST": (UnknownCode, CodeRefused, BalanceTooLarge, guesses.TooManyGuesses)}
    takes_key = "required"

    @extend_schema(request=request_schemas.CodeInput, responses={201: response_schemas.Redemption})
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.CodeInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))
        count_code(request, account.pk, self.now)

        def redeem() -> tuple[int, response_schemas.Redemption]:
            redeemed = codes.redeem(account=account, code=body["code"], now=timezone.now())
            return 201, {"code": redeemed.code, "kind": redeemed.kind, "credits": plain(redeemed.credits)}

        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=redeem)


def count_code(request: Request, account_id: UUID, now: datetime) -> None:
    """Count a promotion code of a request; those of a platform key, which has many users, only by account.

    Raises TooManyGuesses.
    """
    client = "" if principal_of(request).is_platform else guesses.client_of(request._request)
    guesses.count_promotion_code(account_id=account_id, client=client, now=now)


def _plan(plan: Plan, subscription: Subscription | None) -> response_schemas.Plan:
    current = subscription is not None and subscription.plan == plan.key
    return {
        "key": plan.key,
        "name": plan.name,
        "summary": plan.summary,
        "features": plan.features,
        "rank": plan.rank,
        "free": plan.free,
        "legacy": plan.legacy,
        "carry_over": plan.carry_over,
        "current": current,
        "eligible": plan.open_to_new_members and not current,
        "prices": [
            {"interval": interval, "currency": currency, "amount": amount}
            for interval, prices in plan.prices.items()
            for currency, amount in prices.items()
        ],
        "allowances": [
            {
                "label": allowance["label"],
                "kind": allowance["kind"],
                "credits": plain(Decimal(allowance["credits"])),
                "period": allowance["period"],
                "services": allowance.get("services"),
            }
            for allowance in plan.allowances
        ],
        "quotas": [
            {
                "key": quota["key"],
                "label": quota["label"],
                "maximum": quota["maximum"],
                "period": quota["period"],
            }
            for quota in plan.quotas
        ],
        "unlimited_services": plan.unlimited_services,
    }


def _pack(by_currency: list[offers.PackOffer]) -> response_schemas.Pack:
    """A pack with its price in each currency."""
    pack = by_currency[0].pack
    return {
        "key": pack.key,
        "name": pack.name,
        "summary": pack.summary,
        "credits": plain(pack.credits),
        "lasts": pack.lasts,
        "popular": pack.popular,
        "paid_plans_only": pack.paid_plans_only,
        "eligible": by_currency[0].allowed,
        "prices": [
            {
                "currency": offer.currency,
                "amount": offer.amount,
                "list_amount": offer.list_amount,
                "each": plain(offer.each.quantize(Decimal("0.000001"))),
                "saving_percent": offer.saving_percent,
                "sale": {"label": offer.sale.label, "ends_at": instant(offer.sale.ends_at)}
                if offer.sale
                else None,
            }
            for offer in by_currency
        ],
    }
