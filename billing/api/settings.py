"""/alerts and /auto-top-up: what happens when credits run low."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import User
from billing import alerts, offers, top_up_settings
from billing.api import answers, inputs, shapes
from billing.api.refusals import refusals
from core import json_body
from core.endpoint import Endpoint, query_of


class Alerts(Endpoint):
    """The account's low-credit alert."""

    scopes = {"GET": "manage", "PUT": "manage"}

    @extend_schema(parameters=[inputs.AccountQuery], responses=answers.AlertsAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, inputs.AccountQuery)
        saved = alerts.settings_of(account_of(request, query.get("account")))
        return json_body.answer(shapes.alerts(saved))

    @extend_schema(request=inputs.AlertsInput, responses=answers.AlertsAnswer)
    def put(self, request: Request) -> HttpResponse:
        body = inputs.AlertsInput.checked(request.data)
        saved = alerts.change(
            account_id=account_of(request, body.get("account")),
            enabled=body["enabled"],
            below=body["below"],
            by_email=body.get("by_email", True),
            extra_addresses=body.get("extra_addresses", []),
            now=self.now,
        )
        return json_body.answer(shapes.alerts(saved))


class AutoTopUp(Endpoint):
    """What is bought by itself, within which ceilings, and how it last went."""

    scopes = {"GET": "manage", "PUT": "manage"}

    @extend_schema(parameters=[inputs.AccountQuery], responses=answers.AutoTopUpAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, inputs.AccountQuery)
        saved = top_up_settings.of(account_of(request, query.get("account")))
        return json_body.answer(shapes.top_up(saved, self.now))

    @extend_schema(request=inputs.AutoTopUpInput, responses=answers.AutoTopUpAnswer)
    def put(self, request: Request) -> HttpResponse:
        body = inputs.AutoTopUpInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        before = top_up_settings.of(account_id)
        with refusals():
            saved = top_up_settings.change(
                account_id=account_id,
                enabled=body["enabled"],
                below=body.get("below", before.below),
                pack=body.get("pack", before.pack),
                currency=offers.chosen_currency(body.get("currency") or before.currency),
                monthly_amount=body.get("monthly_amount", before.monthly_amount),
                monthly_count=body.get("monthly_count", before.monthly_count),
                user=request.user if isinstance(request.user, User) else before.set_by,
                now=self.now,
            )
        return json_body.answer(shapes.top_up(saved, self.now))
