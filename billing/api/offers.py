"""/plans, /packs, /redemptions: what can be had, and codes."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account
from billing import offers, selectors
from billing.api import request_schemas, response_schemas, serializers
from billing.promotions import codes
from core import idempotency, json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.pagination import whole
from pricing.models import Plan


class Plans(Endpoint):
    """Every plan that can be entered, and the account's own."""

    scopes = {"GET": "read"}

    @extend_schema(
        parameters=[request_schemas.AccountQuery], responses=response_schemas.list_of(response_schemas.Plan)
    )
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.AccountQuery)
        present = selectors.subscription_of(account_of(request, query.get("account")))
        shown = [
            serializers.plan(plan, present)
            for plan in Plan.objects.order_by("rank", "position")
            if plan.open_to_new_members or (present and plan.key == present.plan)
        ]
        return json_body.answer(whole(shown))


class Packs(Endpoint):
    """Every pack on sale, with its price in each currency."""

    scopes = {"GET": "read"}

    @extend_schema(
        parameters=[request_schemas.AccountQuery], responses=response_schemas.list_of(response_schemas.Pack)
    )
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.AccountQuery)
        paid_plan = selectors.has_paid_plan(account_of(request, query.get("account")))
        by_pack: dict[str, list[offers.PackOffer]] = {}
        for currency in offers.currencies():
            for offer in offers.list_packs(currency=currency, paid_plan=paid_plan, now=self.now):
                by_pack.setdefault(offer.key, []).append(offer)
        return json_body.answer(whole([serializers.pack(found) for found in by_pack.values()]))


class Redemptions(Endpoint):
    """Use a promotion or invitation code."""

    scopes = {"POST": "manage"}
    takes_key = "required"

    @extend_schema(request=request_schemas.CodeInput, responses={201: response_schemas.Redemption})
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.CodeInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))

        def use() -> tuple[int, dict[str, Any]]:
            given = codes.redeem(account=account, code=body["code"], now=timezone.now())
            return 201, {"code": given.code, "kind": given.kind, "credits": plain(given.credits)}

        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=use)
