"""/subscription: the account's plan, and changing it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account, User
from billing import models, offers
from billing.api import request_schemas, response_schemas, serializers
from billing.purchases import checkout, create
from billing.subscriptions import changes, previews
from core import idempotency, json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.fields import instant
from core.problems import not_found


class Subscription(Endpoint):
    scopes = {"GET": "read"}

    @extend_schema(parameters=[request_schemas.AccountQuery], responses=response_schemas.SubscriptionAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.AccountQuery)
        return json_body.answer(serializers.subscription(_present(account_of(request, query.get("account")))))


class Change(Endpoint):
    """Change the plan: at once and paid for an upgrade, at the period's end for a downgrade.

    An account that pays for no plan yet is answered with a payment page in `checkout`.
    """

    scopes = {"POST": "manage"}
    takes_key = "required"

    @extend_schema(request=request_schemas.ChangeInput, responses=response_schemas.SubscriptionAnswer)
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.ChangeInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))
        if body.get("preview"):
            return json_body.answer(_preview_shape(self._preview(account, body)))

        def change() -> tuple[int, dict[str, Any]]:
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

    def _change(self, request: Request, account: Account, body: dict[str, Any], key: str) -> dict[str, Any]:
        shown = self._preview(account, body)
        if shown.leaves_legacy and not body.get("confirm"):
            raise create.ConfirmationNeeded
        if shown.kind != "subscribe":
            return serializers.subscription(changes.confirm(account, shown.token, self.now))
        order = create.plan_purchase(
            account=account,
            buyer=request.user if isinstance(request.user, User) else None,
            origin=models.Purchase.Origin.API,
            plan_key=shown.plan.key,
            interval=shown.interval,
            currency=shown.currency,
            confirm=body.get("confirm", False),
            key=f"api:{key}",
            now=self.now,
        )
        url = checkout.open_page(order, self.now)
        return serializers.subscription(_present(account.pk)) | {"checkout": serializers.checkout(order, url)}


class _Act(Endpoint):
    """Something done with the present plan, without a choice."""

    scopes = {"POST": "manage"}
    takes_key = "optional"
    act: Callable[[Account, datetime], models.Subscription]

    def post(self, request: Request) -> HttpResponse:
        body = request_schemas.Named.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))
        return json_body.answer(serializers.subscription(type(self).act(account, self.now)))


@extend_schema(request=request_schemas.Named, responses=response_schemas.SubscriptionAnswer)
class Cancel(_Act):
    """End the plan with what is paid."""

    act = staticmethod(changes.cancel)


@extend_schema(request=request_schemas.Named, responses=response_schemas.SubscriptionAnswer)
class Resume(_Act):
    """Take a cancellation or a coming downgrade back."""

    act = staticmethod(changes.resume)


def _present(account_id: Any) -> models.Subscription:
    found = models.Subscription.objects.filter(account_id=account_id).first()
    if found is None:
        raise not_found()
    return found


def _preview_shape(shown: previews.Preview) -> dict[str, Any]:
    return {
        "kind": shown.kind,
        "plan": shown.plan.key,
        "interval": shown.interval or None,
        "currency": shown.currency,
        "amount": shown.amount,
        "due_now": shown.due_now,
        "takes_effect": instant(shown.takes_effect),
        "leaves_legacy": shown.leaves_legacy,
        "grants": [
            {"label": grant.label, "remaining": plain(grant.remaining), "fate": grant.outcome}
            for grant in shown.grants
        ],
        "arrivals": [{"label": grant.label, "credits": plain(grant.credits)} for grant in shown.new_grants],
    }
