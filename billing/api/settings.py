"""/alerts and /auto-top-up: what happens when credits run low."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import User
from billing import offers
from billing.api import request_schemas, response_schemas, serializers
from billing.notifications import low_credit_alerts
from billing.purchases import auto_top_up
from core import json_body
from core.endpoint import Endpoint, query_of


class Alerts(Endpoint):
    """The account's low-credit alert."""

    scopes = {"GET": "manage", "PUT": "manage"}

    @extend_schema(parameters=[request_schemas.AccountQuery], responses=response_schemas.AlertsAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.AccountQuery)
        saved = low_credit_alerts.get_settings(account_of(request, query.get("account")))
        return json_body.answer(serializers.alerts(saved))

    @extend_schema(request=request_schemas.AlertsInput, responses=response_schemas.AlertsAnswer)
    def put(self, request: Request) -> HttpResponse:
        body = request_schemas.AlertsInput.checked(request.data)
        saved = low_credit_alerts.save_settings(
            account_id=account_of(request, body.get("account")),
            enabled=body["enabled"],
            below=body["below"],
            by_email=body.get("by_email", True),
            extra_addresses=body.get("extra_addresses", []),
            now=self.now,
        )
        return json_body.answer(serializers.alerts(saved))


class AutoTopUp(Endpoint):
    """What is bought by itself, within which ceilings, and how it last went."""

    scopes = {"GET": "manage", "PUT": "manage"}

    @extend_schema(parameters=[request_schemas.AccountQuery], responses=response_schemas.AutoTopUpAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.AccountQuery)
        saved = auto_top_up.settings_of(account_of(request, query.get("account")))
        return json_body.answer(serializers.top_up(saved, self.now))

    @extend_schema(request=request_schemas.AutoTopUpInput, responses=response_schemas.AutoTopUpAnswer)
    def put(self, request: Request) -> HttpResponse:
        body = request_schemas.AutoTopUpInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        before = auto_top_up.settings_of(account_id)
        saved = auto_top_up.change_settings(
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
        return json_body.answer(serializers.top_up(saved, self.now))
