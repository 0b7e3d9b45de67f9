"""/balance, /grants, /transactions: available credits, their grants, the ledger entries."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account
from billing import ledger
from billing.models import Charge, Entry, Grant, Hold
from billing.subscriptions import plan_terms
from core import json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.fields import AccountQuery, instant, instant_or_none
from core.pagination import Page, PageQuery, page
from usage import entitlements, selectors
from usage.api import request_schemas, response_schemas


class Balance(Endpoint):
    """Credits that every service can spend now, and the grants in force in spending order."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.Balance)
    def get(self, request: Request) -> HttpResponse:
        query_of(request, AccountQuery)
        return json_body.answer(balance_answer(account_of(request), self.now))


class Grants(Endpoint):
    """All grants, including spent and expired ones, newest first."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.AnyGrant])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        account_id = account_of(request)
        ledger.settle_for_read(account_id, self.now)
        rows = selectors.grants(account_id)
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=grant_of))


class Transactions(Endpoint):
    """Ledger entries that move credits, and charges that cost none, newest first."""

    scopes = {"GET": "read"}

    @extend_schema(
        parameters=[request_schemas.TransactionQuery],
        responses=Page[response_schemas.Transaction],
    )
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.TransactionQuery)
        account_id = account_of(request)
        ledger.settle_for_read(account_id, self.now)
        rows = selectors.entries(account_id, query)
        return json_body.answer(page(rows, query, keys=("seq",), build=_transaction))


def balance_answer(account_id: UUID, now: datetime) -> response_schemas.Balance:
    """The account's balance object. Settles the wallet if something is due; raises as `ledger.balance`."""
    return balance_of(ledger.balance(account_id, now))


def balance_answers(account_ids: Collection[UUID], now: datetime) -> dict[UUID, response_schemas.Balance]:
    """The balance objects of several accounts from one call of the ledger, which takes no lock.

    Accounts that `ledger.balances` leaves out are missing: the endpoint answers for them.
    """
    plan_terms.load(account_ids)
    return {account_id: balance_of(found) for account_id, found in ledger.balances(account_ids, now).items()}


def balance_of(balance: ledger.Balance) -> response_schemas.Balance:
    """The balance object."""
    return {
        "account": Account.public_id_of(balance.account_id),
        "available": plain(balance.available),
        "held": plain(balance.held),
        "debt": plain(balance.debt),
        "as_of": instant(balance.as_of),
        "grants": [_balance_grant(grant) for grant in balance.grants],
        "daily": _daily(balance),
        "unlimited_services": sorted(entitlements.unlimited_services(balance.account_id)),
        "low": balance.low,
    }


def _daily(balance: ledger.Balance) -> response_schemas.Daily | None:
    daily = balance.daily
    if daily is None or daily.next_at is None:
        return None
    return {
        "amount": plain(daily.credits),
        "remaining": plain(balance.daily_remaining),
        "resets_at": instant(daily.next_at),
    }


def _balance_grant(grant: Grant | ledger.GrantInForce) -> response_schemas.BalanceGrant:
    return {
        "id": grant.public_id,
        "kind": grant.kind,
        "label": grant.label,
        "granted": plain(grant.credits),
        "remaining": plain(grant.remaining),
        "held": plain(grant.held),
        "expires_at": instant_or_none(grant.expires_at),
        "services": grant.services,
    }


def grant_of(grant: Grant) -> response_schemas.AnyGrant:
    """A grant in any state."""
    return {
        **_balance_grant(grant),
        "reason": grant.reason,
        "created_at": instant(grant.created_at),
    }


def _transaction(entry: Entry) -> response_schemas.Transaction:
    return {
        "id": entry.public_id,
        "kind": entry.kind,
        "grant": Grant.public_id_of(entry.grant_id),
        "credits": plain(entry.credits),
        "grant_after": plain(entry.grant_after),
        "balance_after": plain(entry.balance_after),
        "charge": Charge.public_id_of(entry.charge_id),
        "hold": Hold.public_id_of(entry.hold_id),
        "reason": entry.reason,
        "actor": "staff" if selectors.is_staff(entry.actor) else entry.actor,
        "created_at": instant(entry.created_at),
    }
