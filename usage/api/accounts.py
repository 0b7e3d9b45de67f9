"""/accounts: a platform key creates accounts for its users and grants them credits."""

from typing import Annotated, Any, TypedDict
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
from core import idempotency, json_body, problems
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.errors import Refusal
from core.fields import StrictSerializer, instant
from core.json_types import id_of
from pricing import selectors
from usage.api import request_schemas, response_schemas
from usage.api.balance import grant_of


class TakenBy(TypedDict):
    account: Annotated[str, id_of(Account)]


class ExternalIdTaken(Refusal):
    """Another account has this external id; `account` is its id."""

    code = "external_id_taken"

    def __init__(self, existing: Account) -> None:
        super().__init__(_("An account with this external id already exists."))
        self.existing = existing

    def extra(self) -> TakenBy:
        return {"account": self.existing.public_id}


class Accounts(Endpoint):
    """Create an account for a user of the product, with the free plan and its credits."""

    scopes = {"POST": "manage"}
    raises = {"POST": (ExternalIdTaken,)}
    platform_only = True
    takes_key = "optional"

    @extend_schema(request=request_schemas.AccountInput, responses={201: response_schemas.Account})
    def post(self, request: Request) -> HttpResponse:
        body = request_schemas.AccountInput.checked(request.data)

        def create() -> tuple[int, response_schemas.Account]:
            return 201, _account(self._create(body))

        key = idempotency.optional_key_of(request)
        return idempotency.once(request, owner=principal_of(request).id, key=key, now=self.now, act=create)

    def _create(self, body: dict[str, Any]) -> Account:
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
            raise ExternalIdTaken(existing) from None
        return account


class OneAccount(Endpoint):
    """An account, by its id or its external id."""

    scopes = {"GET": "manage"}
    platform_only = True

    @extend_schema(responses=response_schemas.Account)
    def get(self, request: Request, account: str) -> HttpResponse:
        query_of(request, StrictSerializer)
        return json_body.answer(_account(Account.objects.get(pk=find_account(account))))


# The time of a charge or a balance grows with the grants that it spans: 30 us each (docs/decisions/0071).
MOST_OPEN_GRANTS = 1_000


class AccountGrants(Endpoint):
    """Grant credits to an account."""

    scopes = {"POST": "manage"}
    raises = {"POST": (ledger.BalanceTooLarge, ledger.TooManyGrants)}
    platform_only = True
    takes_key = "required"

    @extend_schema(request=request_schemas.GrantInput, responses={201: response_schemas.AnyGrant})
    def post(self, request: Request, account: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.GrantInput.checked(request.data)
        account_id = find_account(account)
        with transaction.atomic():
            granted = ledger.grant(
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
                most_open=MOST_OPEN_GRANTS,
            )
            if not granted.replayed:  # the catalogue may have changed since the first answer
                _check_scopes(body.get("services"))
        response = json_body.answer(_first_answer(account_id, granted), 201)
        return idempotency.replayed(response) if granted.replayed else response


def _check_scopes(services: list[str] | None) -> None:
    """Credits for services that do not exist could never be spent. Raises Problem (400)."""
    known = selectors.scopes()
    for name in services or []:
        if name not in known:
            message = _("There is no service or tag “%(name)s”.") % {"name": name}
            raise problems.field_problem("services", "unknown", message)


def _first_answer(account_id: UUID, granted: ledger.Granted) -> response_schemas.AnyGrant:
    """The grant at the time it was granted: `remaining` excludes what repaid debt at once."""
    grant = Grant.objects.get(account_id=account_id, pk=granted.grant_id)
    answer = grant_of(grant)
    answer["remaining"] = plain(grant.credits - granted.repaid)
    answer["held"] = "0"
    return answer


def _account(account: Account) -> response_schemas.Account:
    return {
        "id": account.public_id,
        "external_id": account.external_id,
        "name": account.name,
        "kind": account.kind,
        "zone": account.zone,
        "created_at": instant(account.created_at),
        "plan": plan_terms.get(account.pk).plan or None,
    }
