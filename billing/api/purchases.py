"""/checkouts and /purchases: payment pages, orders, refund requests."""

from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account, User
from billing import offers, selectors
from billing.api import request_schemas, response_schemas, serializers
from billing.models import Purchase
from billing.purchases import checkout, create
from billing.refunds import requests
from core import idempotency, json_body
from core.endpoint import Endpoint, query_of
from core.pagination import PageQuery, page
from core.problems import not_found


class Checkouts(Endpoint):
    """A payment page for a pack or a plan, at the server's price."""

    scopes = {"POST": "manage"}
    takes_key = "required"

    @extend_schema(request=request_schemas.CheckoutInput, responses={201: response_schemas.Checkout})
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.CheckoutInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))

        def order() -> tuple[int, dict[str, Any]]:
            purchase = self._order(request, account, body, key)
            url = checkout.open_page(purchase, self.now)
            purchase.refresh_from_db()
            return 201, serializers.checkout(purchase, url)

        # Stripe is called between commits; order and page have the key, so a retry is the same order.
        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=order, atomic=False)

    def _order(self, request: Request, account: Account, body: dict[str, Any], key: str) -> Purchase:
        common: dict[str, Any] = {
            "account": account,
            "buyer": request.user if isinstance(request.user, User) else None,
            "origin": Purchase.Origin.API,
            "currency": offers.resolve_currency(body.get("currency")),
            "key": f"api:{key}",
            "now": self.now,
        }
        if "pack" in body:
            return create.pack_purchase(
                pack_key=body["pack"],
                quantity=body.get("quantity", 1),
                promotion_code=body.get("code", ""),
                **common,
            )
        return create.plan_purchase(
            plan_key=body["plan"],
            interval=body.get("interval", "month"),
            confirm=body.get("confirm", False),
            **common,
        )


class Purchases(Endpoint):
    """The account's orders."""

    scopes = {"GET": "read"}

    @extend_schema(
        parameters=[PageQuery], responses=response_schemas.list_of(response_schemas.PurchaseAnswer)
    )
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        rows = Purchase.objects.filter(account_id=account_of(request))
        found: list[Purchase] = []

        def keep(row: Purchase) -> dict[str, Any]:
            found.append(row)
            return {}

        answer = page(rows, query, keys=("created_at", "id"), shape=keep)
        left = selectors.remaining_credits_by_purchase(found)
        answer["data"] = [serializers.purchase(row, left.get(row.pk, Decimal(0))) for row in found]
        return json_body.answer(answer)


class OnePurchase(Endpoint):
    """One order, its refunds and what could be refunded now."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[request_schemas.AccountQuery], responses=response_schemas.PurchaseAnswer)
    def get(self, request: Request, purchase: str) -> HttpResponse:
        query = query_of(request, request_schemas.AccountQuery)
        row = _find(request, purchase, query.get("account"))
        return json_body.answer(serializers.purchase_in_full(row, self.now))


class RefundRequests(Endpoint):
    """Ask for the money of what is unspent; staff decide."""

    scopes = {"POST": "manage"}
    takes_key = "optional"

    @extend_schema(request=request_schemas.RefundInput, responses={201: response_schemas.RefundAnswer})
    def post(self, request: Request, purchase: str) -> HttpResponse:
        body = request_schemas.RefundInput.checked(request.data)
        row = _find(request, purchase, body.get("account"))

        def ask() -> tuple[int, dict[str, Any]]:
            user = request.user if isinstance(request.user, User) else None
            made = requests.create(purchase=row, user=user, message=body.get("reason", ""), now=self.now)
            return 201, serializers.refund(made)

        if idempotency.HEADER not in request.headers:
            return json_body.answer(ask()[1], 201)
        key = idempotency.key_of(request)
        return idempotency.once(request, owner=row.account_id, key=key, now=self.now, act=ask)


def _find(request: Request, public_id: str, named: str | None) -> Purchase:
    account_id = account_of(request, named)
    row = Purchase.with_public_id(public_id)
    if row is None or row.account_id != account_id:
        raise not_found()
    return row
