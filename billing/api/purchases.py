"""/checkouts and /purchases: payment pages, purchases, refund requests."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts import guesses
from accounts.authentication import account_of, object_of
from accounts.models import Account, User
from billing import offers, selectors, stripe_gateway
from billing.api import request_schemas, response_schemas
from billing.api.offers import count_code
from billing.models import Purchase, Refund
from billing.payments import invoice_pdf
from billing.promotions.redemption import CodeRefused, UnknownCode
from billing.purchases import checkout, create
from billing.refunds import requests
from core import idempotency, json_body, problems
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.errors import Refusal
from core.fields import AccountNamed, AccountQuery, instant, instant_or_none
from core.pagination import Page, PageQuery, page

OF_STRIPE = (
    stripe_gateway.StripeError,
    stripe_gateway.StripeUnavailable,
    stripe_gateway.AccessRefused,
)
OF_PLAN_PURCHASE = (
    *OF_STRIPE,
    offers.UnknownOffer,
    offers.PlanClosed,
    create.AlreadySubscribed,
    create.PlanPaymentPending,
    create.ConfirmationNeeded,
)


class NotOpen(Refusal):
    """The purchase was paid, or its payment is being processed."""

    code = "not_open"

    def __init__(self) -> None:
        super().__init__(_("This purchase is paid, or its payment is being processed. Request a refund."))


class Checkouts(Endpoint):
    """Create a payment page for a pack or a plan. The server sets the price.

    With `preview` nothing is created, and the response says what the packs would cost with the code. For a
    plan `POST /subscription/change` has a preview.
    """

    scopes = {"POST": "manage"}
    raises = {
        "POST": (
            *OF_PLAN_PURCHASE,
            offers.PaidPlanRequired,
            UnknownCode,
            CodeRefused,
            guesses.TooManyGuesses,
        )
    }
    takes_key = "required"

    @extend_schema(
        request=request_schemas.CheckoutInput,
        responses={200: response_schemas.CheckoutPreview, 201: response_schemas.Checkout},
    )
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.CheckoutInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))
        if body.get("code"):
            count_code(request, account.pk, self.now)
        if body.get("preview"):
            return json_body.answer(self._preview(account, body))

        def open_checkout() -> tuple[int, response_schemas.Checkout]:
            purchase = self._purchase(request, account, body, key)
            url = checkout.open_page(purchase, self.now)
            purchase.refresh_from_db()
            return 201, checkout_of(purchase, url)

        # Stripe is called between commits. A retry repeats the purchase and the page under the same key.
        return idempotency.once(
            request, owner=account.pk, key=key, now=self.now, act=open_checkout, atomic=False
        )

    def _preview(self, account: Account, body: dict[str, Any]) -> response_schemas.CheckoutPreview:
        quantity, currency = body.get("quantity", 1), offers.resolve_currency(body.get("currency"))
        offer = create.order_of(
            account, pack_key=body["pack"], quantity=quantity, currency=currency, now=self.now
        )
        discount = create.discount_of(
            account, offer, quantity=quantity, code=body.get("code", ""), now=self.now
        )
        return {
            "pack": offer.key,
            "quantity": quantity,
            "credits": plain(offer.pack.credits * quantity),
            "list_amount": offer.list_amount * quantity,
            "discount": discount,
            "amount": offer.amount * quantity - discount,
            "currency": currency,
        }

    def _purchase(self, request: Request, account: Account, body: dict[str, Any], key: str) -> Purchase:
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
    """The account's purchases, newest first."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.PurchaseAnswer])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        rows = Purchase.objects.filter(account_id=account_of(request)).prefetch_related("disputes")
        found = page(rows, query, keys=("created_at", "id"), build=lambda purchase: purchase)
        left = selectors.remaining_credits_by_purchase(found["data"])
        answer: Page[response_schemas.PurchaseAnswer] = {
            "data": [_purchase(purchase, left.get(purchase.pk, Decimal(0))) for purchase in found["data"]],
            "has_more": found["has_more"],
            "next_cursor": found["next_cursor"],
        }
        return json_body.answer(answer)


class OnePurchase(Endpoint):
    """One purchase, its refunds and what can be refunded now."""

    scopes = {"GET": "read"}
    path_ids = {"purchase": Purchase}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.PurchaseAnswer)
    def get(self, request: Request, purchase: str) -> HttpResponse:
        query = query_of(request, AccountQuery)
        found = object_of(request, Purchase, purchase, query.get("account"))
        return json_body.answer(purchase_in_full(found, self.now))


class CancelPurchase(Endpoint):
    """Cancel a purchase that is not paid: its payment page is closed."""

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_STRIPE, NotOpen)}
    path_ids = {"purchase": Purchase}
    takes_key = "optional"

    @extend_schema(request=AccountNamed, responses=response_schemas.PurchaseAnswer)
    def post(self, request: Request, purchase: str) -> HttpResponse:
        key = idempotency.optional_key_of(request)
        body = AccountNamed.checked(request.data)
        found = object_of(request, Purchase, purchase, body.get("account"))

        def cancel() -> tuple[int, response_schemas.PurchaseAnswer]:
            cancelled = checkout.cancel(found, self.now)
            if cancelled.status != Purchase.Status.CANCELLED:
                raise NotOpen
            return 200, purchase_in_full(cancelled, self.now)

        return idempotency.once(
            request, owner=found.account_id, key=key, now=self.now, act=cancel, atomic=False
        )


class Invoice(Endpoint):
    """The invoice of a paid purchase as a PDF file."""

    scopes = {"GET": "read"}
    path_ids = {"purchase": Purchase}

    @extend_schema(parameters=[AccountQuery], responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    def get(self, request: Request, purchase: str) -> HttpResponse:
        query = query_of(request, AccountQuery)
        found = object_of(request, Purchase, purchase, query.get("account"))
        if not found.invoice_number:
            raise problems.not_found(_("This purchase has no invoice."))
        response = HttpResponse(invoice_pdf.render(found), content_type="application/pdf")
        response["Content-Disposition"] = f'attachment; filename="invoice-{found.invoice_number}.pdf"'
        return response


class RefundRequests(Endpoint):
    """Request a refund of the unspent credits. Staff decide."""

    scopes = {"POST": "manage", "DELETE": "manage"}
    raises = {"POST": (requests.RefundRefused,), "DELETE": (requests.RefundRefused,)}
    path_ids = {"purchase": Purchase}
    takes_key = "required"

    @extend_schema(request=request_schemas.RefundInput, responses={201: response_schemas.RefundAnswer})
    def post(self, request: Request, purchase: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.RefundInput.checked(request.data)
        found = object_of(request, Purchase, purchase, body.get("account"))

        def create_request() -> tuple[int, response_schemas.RefundAnswer]:
            user = request.user if isinstance(request.user, User) else None
            refund = requests.create(purchase=found, user=user, message=body.get("reason", ""), now=self.now)
            return 201, _refund(refund)

        return idempotency.once(request, owner=found.account_id, key=key, now=self.now, act=create_request)

    @extend_schema(parameters=[AccountQuery], responses={204: None})
    def delete(self, request: Request, purchase: str) -> HttpResponse:
        """Withdraw the refund request of the purchase that is not decided yet."""
        query = query_of(request, AccountQuery)
        requests.withdraw(object_of(request, Purchase, purchase, query.get("account")), self.now)
        return HttpResponse(status=204)


def checkout_of(purchase: Purchase, url: str) -> response_schemas.Checkout:
    """The purchase with its payment page."""
    return {
        "id": purchase.public_id,
        "purchase": purchase.public_id,
        "url": url,
        "status": purchase.status,
        "amount": purchase.amount,
        "currency": purchase.currency,
        "credits": plain(purchase.credits),
    }


def _purchase(purchase: Purchase, credits_left: Decimal) -> response_schemas.PurchaseAnswer:
    is_pack = purchase.kind == Purchase.Kind.PACK
    created, failed = Purchase.Status.CREATED, Purchase.Status.FAILED
    return {
        "id": purchase.public_id,
        "account": Account.public_id_of(purchase.account_id),
        "status": purchase.status,
        "kind": purchase.kind,
        "origin": purchase.origin,
        "pack": purchase.offer if is_pack else None,
        "plan": None if is_pack else purchase.offer,
        "label": purchase.label,
        "quantity": purchase.quantity,
        "credits": plain(purchase.credits),
        "credits_left": plain(credits_left),
        "amount": purchase.amount,
        "list_amount": purchase.list_amount,
        "tax": purchase.tax,
        "balance_used": purchase.balance_used,
        "refunded": purchase.refunded,
        "dispute": purchase.dispute_status or None,
        "currency": purchase.currency,
        "payment_method": purchase.payment_method or None,
        "invoice_number": purchase.invoice_number,
        "receipt_url": purchase.receipt_url or None,
        "checkout_url": (purchase.checkout_url or None) if purchase.status == created else None,
        "failure": purchase.error if purchase.status == failed else None,
        "created_at": instant(purchase.created_at),
        "paid_at": instant_or_none(purchase.paid_at),
    }


def purchase_in_full(purchase: Purchase, now: datetime) -> response_schemas.PurchaseAnswer:
    """The purchase with its refunds and what can be refunded now."""
    answer = _purchase(purchase, selectors.remaining_credits(purchase))
    answer["refunds"] = [_refund(refund) for refund in purchase.refunds.order_by("-created_at", "-id")]
    answer["refundable"] = _refundable(purchase, now)
    return answer


def _refundable(purchase: Purchase, now: datetime) -> response_schemas.Refundable:
    try:
        refundable = requests.refundable(purchase, now)
    except requests.RefundRefused as refusal:
        return {"amount": 0, "code": refusal.code}
    return {
        "amount": refundable.amount,
        "credits": plain(refundable.credits),
        "until": instant(refundable.ends_at),
    }


def _refund(refund: Refund) -> response_schemas.RefundAnswer:
    return {
        "id": refund.public_id,
        "purchase": Purchase.public_id_of(refund.purchase_id),
        "status": refund.status,
        "amount": refund.amount,
        "currency": refund.currency,
        "credits": plain(refund.credits),
        "reason": refund.buyer_reason,
        "decision": refund.decision,
        "created_at": instant(refund.created_at),
        "decided_at": instant_or_none(refund.decided_at),
    }
