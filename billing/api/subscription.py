"""/subscription: the account's plan, and changes of it."""

from datetime import datetime
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account, User
from billing import models, offers, selectors, stripe_gateway
from billing.api import request_schemas, response_schemas
from billing.api.purchases import OF_PLAN_PURCHASE, OF_STRIPE, checkout_of
from billing.purchases import checkout, create
from billing.subscriptions import changes, overdue, pauses, pending_payments, plan_terms, previews
from billing.subscriptions.invoice_amounts import InvoiceAmounts
from core import idempotency, json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.errors import DomainError
from core.fields import AccountNamed, AccountQuery, instant, instant_or_none

# Typed as Any: drf-spectacular expects serializers here, and config.openapi maps TypedDicts to components.
CHANGE_ANSWERS: Any = [response_schemas.SubscriptionAnswer, response_schemas.ChangePreview]


OF_CHANGE = (previews.ChangeRefused, previews.ConfirmationStale)


class NoSubscription(DomainError):
    """The account has no plan."""

    code, status = "not_found", 404

    def detail(self) -> str:
        return ""


class Subscription(Endpoint):
    """The account's subscription."""

    scopes = {"GET": "read"}
    raises = {"GET": (NoSubscription,)}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.SubscriptionAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, AccountQuery)
        return json_body.answer(_subscription(_current(account_of(request, query.get("account"))), self.now))


class Change(Endpoint):
    """Change the plan: an upgrade or another interval at once, a downgrade at the end of the period.

    An immediate change is paid at once. Where the bank requires the cardholder to confirm the payment, the
    plan changes afterwards: `pending_change` contains the page and the time until which that is possible.
    For an account without a paid plan `checkout` contains a payment page. With `preview` nothing changes, and
    the response says what the change would cost and do.
    """

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_PLAN_PURCHASE, *OF_CHANGE, stripe_gateway.CardDeclined)}
    takes_key = "required"

    @extend_schema(
        request=request_schemas.ChangeInput,
        responses=PolymorphicProxySerializer(
            component_name="SubscriptionChange",
            serializers=CHANGE_ANSWERS,
            resource_type_field_name=None,
        ),
    )
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.ChangeInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))
        if body.get("preview"):
            return json_body.answer(_change_preview(self._preview(account, body)))

        def change() -> tuple[int, response_schemas.SubscriptionAnswer]:
            return 200, self._change(request, account, body, key)

        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=change, atomic=False)

    def _preview(self, account: Account, body: dict[str, Any]) -> previews.Preview:
        return previews.preview(
            account,
            plan_key=body["plan"],
            interval=body.get("interval", ""),
            currency=offers.resolve_currency(body.get("currency")),
            now=self.now,
        )

    def _change(
        self, request: Request, account: Account, body: dict[str, Any], key: str
    ) -> response_schemas.SubscriptionAnswer:
        preview = self._preview(account, body)
        if preview.leaves_legacy and not body.get("confirm"):
            raise create.ConfirmationNeeded
        if preview.kind != "subscribe":
            return _subscription(changes.confirm(account, preview.token, self.now), self.now)
        purchase = create.plan_purchase(
            account=account,
            buyer=request.user if isinstance(request.user, User) else None,
            origin=models.Purchase.Origin.API,
            plan_key=preview.plan.key,
            interval=preview.interval,
            currency=preview.currency,
            confirm=body.get("confirm", False),
            key=f"api:{key}",
            now=self.now,
        )
        url = checkout.open_page(purchase, self.now)
        answer = _subscription(_current(account.pk), self.now)
        answer["checkout"] = checkout_of(purchase, url)
        return answer


class Cancel(Endpoint):
    """Cancel the subscription at the end of the paid period."""

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_STRIPE, *OF_CHANGE)}
    takes_key = "required"

    @extend_schema(request=request_schemas.CancelInput, responses=response_schemas.SubscriptionAnswer)
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.CancelInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))

        def cancel() -> tuple[int, response_schemas.SubscriptionAnswer]:
            cancelled = changes.cancel(
                account, self.now, feedback=body.get("feedback", ""), comment=body.get("comment", "")
            )
            return 200, _subscription(cancelled, self.now)

        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=cancel, atomic=False)


class Resume(Endpoint):
    """Withdraw a cancellation, a scheduled downgrade or a change that waits for its payment."""

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_STRIPE, *OF_CHANGE)}
    takes_key = "optional"

    @extend_schema(request=AccountNamed, responses=response_schemas.SubscriptionAnswer)
    def post(self, request: Request) -> HttpResponse:
        body = AccountNamed.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))

        def resume() -> tuple[int, response_schemas.SubscriptionAnswer]:
            return 200, _subscription(changes.resume(account, self.now), self.now)

        key = idempotency.optional_key_of(request)
        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=resume, atomic=False)


class Pause(Endpoint):
    """Skip the payments and the credits of the next months; the plan goes on by itself."""

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_STRIPE, *OF_CHANGE)}
    takes_key = "optional"

    @extend_schema(request=request_schemas.PauseInput, responses=response_schemas.SubscriptionAnswer)
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.optional_key_of(request)
        body = request_schemas.PauseInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))

        def pause() -> tuple[int, response_schemas.SubscriptionAnswer]:
            return 200, _subscription(pauses.pause(account, body["months"], self.now), self.now)

        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=pause, atomic=False)


class EndPause(Endpoint):
    """End the pause: the plan goes on with the next month that begins."""

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_STRIPE, *OF_CHANGE)}
    takes_key = "optional"

    @extend_schema(request=AccountNamed, responses=response_schemas.SubscriptionAnswer)
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.optional_key_of(request)
        body = AccountNamed.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))

        def end() -> tuple[int, response_schemas.SubscriptionAnswer]:
            return 200, _subscription(pauses.end(account, self.now), self.now)

        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=end, atomic=False)


class PayOverdue(Endpoint):
    """Pay the overdue invoice of the plan with the card that the plan is charged to.

    Where the bank wants the payment confirmed, `url` is the page on which the buyer pays it.
    """

    scopes = {"POST": "manage"}
    raises = {"POST": (*OF_STRIPE, NoSubscription, stripe_gateway.CardDeclined)}
    takes_key = "required"

    @extend_schema(request=AccountNamed, responses=response_schemas.OverduePayment)
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = AccountNamed.checked(request.data)
        account_id = account_of(request, body.get("account"))

        def pay() -> tuple[int, response_schemas.OverduePayment]:
            paid, url = False, None
            try:
                paid = overdue.pay(account_id, self.now)
            except stripe_gateway.AuthenticationRequired:
                url = _current(account_id).recovery_url or None
                if url is None:
                    raise
            subscription = _subscription(_current(account_id), self.now)
            return 200, {"paid": paid, "url": url, "subscription": subscription}

        return idempotency.once(request, owner=account_id, key=key, now=self.now, act=pay, atomic=False)


def _current(account_id: Any) -> models.Subscription:
    found = models.Subscription.objects.filter(account_id=account_id).first()
    if found is None:
        raise NoSubscription
    return found


def _change_preview(preview: previews.Preview) -> response_schemas.ChangePreview:
    return {
        "kind": preview.kind,
        "plan": preview.plan.key,
        "interval": preview.interval or None,
        "currency": preview.currency,
        "amount": preview.amount,
        "due_now": preview.due_now,
        "charge": _charge(preview.amounts),
        "takes_effect": instant(preview.takes_effect),
        "leaves_legacy": preview.leaves_legacy,
        "grants": [
            {"label": grant.label, "remaining": plain(grant.remaining), "fate": grant.outcome}
            for grant in preview.grants
        ],
        "arrivals": [
            {"label": grant.label, "credits": plain(grant.credits)} for grant in preview.shown_grants
        ],
    }


def _charge(amounts: InvoiceAmounts | None) -> response_schemas.ChangeCharge | None:
    if amounts is None:
        return None
    return {
        "price": amounts.price,
        "unused": amounts.unused,
        "credit_used": amounts.credit_used,
        "credit_added": amounts.credit_added,
        "added_to_next_invoice": amounts.added_to_next_invoice,
    }


def _pending_change(
    subscription: models.Subscription, now: datetime
) -> response_schemas.PendingChange | None:
    if subscription.pending_until is None or subscription.pending_until <= now:
        return None
    return {
        "plan": subscription.pending_plan,
        "url": subscription.pending_url,
        "expires_at": instant(subscription.pending_until),
        "message": pending_payments.sentence(subscription),
    }


def _cancellation(subscription: models.Subscription) -> response_schemas.Cancellation | None:
    if not subscription.cancel_at_period_end:
        return None
    return {
        "feedback": subscription.cancel_feedback or None,
        "comment": subscription.cancel_comment or None,
    }


def _pending_purchase(subscription: models.Subscription) -> response_schemas.PendingPlan | None:
    purchase = selectors.pending_plan(subscription.account_id)
    if purchase is None:
        return None
    return {
        "id": purchase.public_id,
        "plan": purchase.offer,
        "interval": purchase.interval,
        "payment_method": purchase.payment_method or None,
        "usual_days": purchase.usual_days or None,
        "created_at": instant(purchase.created_at),
    }


def _subscription(subscription: models.Subscription, now: datetime) -> response_schemas.SubscriptionAnswer:
    terms = plan_terms.get(subscription.account_id)
    return {
        "account": Account.public_id_of(subscription.account_id),
        "plan": subscription.plan,
        "name": terms.name,
        "state": subscription.state,
        "legacy": terms.legacy,
        "interval": subscription.interval or None,
        "amount": subscription.amount,
        "currency": subscription.currency or None,
        "period_start": instant(subscription.period_start),
        "period_end": instant_or_none(subscription.period_end),
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "next_plan": subscription.following_plan,
        "paused_until": instant_or_none(subscription.paused_until),
        "cancellation": _cancellation(subscription),
        "pending_change": _pending_change(subscription, now),
        "pending_purchase": _pending_purchase(subscription),
        "recovery_url": subscription.recovery_url or None,
        "unlimited_services": sorted(terms.unlimited_services),
        "quotas": [
            {
                "key": quota.key,
                "label": quota.label,
                "maximum": int(quota.maximum),
                "period": quota.period,
                "used": int(used),
            }
            for quota, used in selectors.quota_usage(subscription.account_id)
        ],
    }
