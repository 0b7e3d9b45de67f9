"""/balance, /grants, /transactions: what there is, where it came from, where it went."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account
from billing import ledger
from core import json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.fields import instant, instant_or_none
from core.pagination import PageQuery, page
from usage import entitlements, selectors
from usage.api import request_schemas, response_schemas, serializers
from usage.api.errors import refusals


class Balance(Endpoint):
    """What any service could spend now, and the grants behind it in spending order."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[request_schemas.AccountQuery], responses=response_schemas.Balance)
    def get(self, request: Request) -> HttpResponse:
        query_of(request, request_schemas.AccountQuery)
        account_id = account_of(request)
        with refusals(account_id, self.now):
            balance = ledger.balance(account_id, self.now)
        return json_body.answer(_shape(balance))


class Grants(Endpoint):
    """Every grant, spent and expired ones included."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[PageQuery], responses=response_schemas.list_of(response_schemas.AnyGrant))
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        account_id = account_of(request)
        ledger.settle([account_id], self.now)
        rows = selectors.grants(account_id)
        return json_body.answer(page(rows, query, keys=("created_at", "id"), shape=serializers.grant))


class Transactions(Endpoint):
    """Ledger entries."""

    scopes = {"GET": "read"}

    @extend_schema(
        parameters=[request_schemas.TransactionQuery],
        responses=response_schemas.list_of(response_schemas.Transaction),
    )
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.TransactionQuery)
        account_id = account_of(request)
        ledger.settle([account_id], self.now)
        rows = selectors.entries(account_id, query)
        return json_body.answer(page(rows, query, keys=("seq",), shape=serializers.entry))


def _shape(balance: ledger.Balance) -> dict[str, Any]:
    daily = balance.daily
    return {
        "account": serializers.public(Account, balance.account_id),
        "available": plain(balance.available),
        "held": plain(balance.held),
        "debt": plain(balance.debt),
        "as_of": instant(balance.as_of),
        "grants": [
            {
                "id": grant.public_id,
                "kind": grant.kind,
                "label": grant.label,
                "granted": plain(grant.credits),
                "remaining": plain(grant.remaining),
                "held": plain(grant.held),
                "expires_at": instant_or_none(grant.expires_at),
                "services": grant.services,
            }
            for grant in balance.grants
        ],
        "daily": None
        if daily is None
        else {
            "amount": plain(daily.credits),
            "remaining": plain(balance.daily_remaining),
            "resets_at": instant_or_none(daily.next_at),
        },
        "unlimited_services": sorted(entitlements.unlimited_services(balance.account_id)),
        "low": balance.low,
    }
