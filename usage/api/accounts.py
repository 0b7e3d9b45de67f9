"""/accounts: the platform opens accounts for its users and gives them credits."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import actor_of, find_account, principal_of
from accounts.models import Account
from billing import ledger, provisioning
from billing.models import Grant
from billing.subscriptions import plan_terms
from core import idempotency, json_body
from core.amounts import plain
from core.endpoint import Endpoint
from core.problems import Problem
from usage.api import request_schemas, response_schemas, serializers
from usage.api.errors import refusals


class Accounts(Endpoint):
    """Open an account for a user of the product: wallet, free plan and its credits at once."""

    scopes = {"POST": "manage"}
    platform_only = True
    takes_key = "optional"

    @extend_schema(request=request_schemas.AccountInput, responses={201: response_schemas.Account})
    def post(self, request: Request) -> HttpResponse:
        body = request_schemas.AccountInput.checked(request.data)

        def open_it() -> tuple[int, dict[str, Any]]:
            return 201, _shape(self._open(body))

        if idempotency.HEADER not in request.headers:
            return json_body.answer(open_it()[1], 201)
        key = idempotency.key_of(request)
        return idempotency.once(request, owner=principal_of(request).id, key=key, now=self.now, act=open_it)

    def _open(self, body: dict[str, Any]) -> Account:
        external_id = body.get("external_id")
        try:
            with transaction.atomic():
                account = Account.objects.create(
                    name=body.get("name") or external_id or _("Account"),
                    external_id=external_id,
                    zone=body.get("zone", "UTC"),
                    created_at=self.now,
                )
                provisioning.open_account(account=account, now=self.now)
        except IntegrityError:
            existing = Account.objects.filter(external_id=external_id).first()
            if existing is None:
                raise
            raise Problem(
                409,
                "external_id_taken",
                _("An account with this external id already exists."),
                account=existing.public_id,
            ) from None
        return account


class OneAccount(Endpoint):
    """An account, by our id or the platform's own."""

    scopes = {"GET": "manage"}
    platform_only = True

    @extend_schema(responses=response_schemas.Account)
    def get(self, request: Request, account: str) -> HttpResponse:
        return json_body.answer(_shape(Account.objects.get(pk=find_account(account))))


class AccountGrants(Endpoint):
    """Give credits."""

    scopes = {"POST": "manage"}
    platform_only = True
    takes_key = "required"

    @extend_schema(request=request_schemas.GrantInput, responses={201: response_schemas.AnyGrant})
    def post(self, request: Request, account: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.GrantInput.checked(request.data)
        account_id = find_account(account)
        with refusals(account_id, self.now), transaction.atomic():
            given = ledger.grant(
                account_id=account_id,
                credits=body["credits"],
                kind=body["kind"],
                label=body.get("label") or str(Grant.Kind(body["kind"]).label),
                key=f"api:{key}",
                now=self.now,
                expires_at=body.get("expires_at"),
                services=body.get("services"),
                reason=body.get("reason", ""),
                actor=actor_of(request),
                fingerprint=idempotency.fingerprint(f"/api/v1/accounts/{account_id}/grants", request.data),
            )
        response = json_body.answer(_first_shape(account_id, given), 201)
        return idempotency.replayed(response) if given.replayed else response


def _first_shape(account_id: UUID, given: ledger.Granted) -> dict[str, Any]:
    """The grant at the moment it was given: what debt did not take at once remained."""
    row = Grant.objects.get(account_id=account_id, pk=given.grant_id)
    return serializers.grant(row) | {"remaining": plain(row.credits - given.repaid), "held": "0"}


def _shape(account: Account) -> dict[str, Any]:
    return serializers.account(account) | {"plan": plan_terms.get(account.pk).plan or None}
