"""/settings: name and time zone of the account, details on its invoices, its name on the memorial wall."""

from typing import Annotated, Any, TypedDict
from uuid import UUID

from django.db import transaction
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts import account_settings
from accounts.authentication import account_of
from accounts.models import Account
from billing import selectors
from billing.payments import invoices
from core import json_body
from core.endpoint import Endpoint, query_of
from core.fields import AccountNamed, AccountQuery, Flag, Name, Text
from usage import memorial_wall
from usage.api.request_schemas import Zone
from usage.api.response_schemas import AccountId

INVOICE_FIELDS = ("invoice_name", "invoice_address", "tax_id")


class AccountSettings(TypedDict):
    account: AccountId
    name: str
    zone: Annotated[str, "IANA time zone in which days and months begin."]
    invoice_name: str
    invoice_address: str
    tax_id: str
    on_memorial_wall: Annotated[bool, "Whether the name is on the public page of early members."]


class SettingsInput(AccountNamed):
    """Fields that are left out keep their values."""

    name = Name(required=False, max_length=200)
    zone = Zone(
        required=False,
        max_length=64,
        help_text="Days begin at midnight in this zone. A change takes effect with the next renewal.",
    )
    invoice_name = Text(required=False, max_length=200, allow_blank=True, help_text="On future invoices.")
    invoice_address = Text(required=False, max_length=500, allow_blank=True)
    tax_id = Text(required=False, max_length=60, allow_blank=True)
    on_memorial_wall = Flag(required=False)


class Settings(Endpoint):
    """Name, time zone and invoice details of the account."""

    scopes = {"GET": "manage", "PATCH": "manage"}
    raises = {"PATCH": (memorial_wall.NotEligible,)}

    @extend_schema(parameters=[AccountQuery], responses=AccountSettings)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, AccountQuery)
        return json_body.answer(_settings(account_of(request, query.get("account"))))

    @extend_schema(request=SettingsInput, responses=AccountSettings)
    def patch(self, request: Request) -> HttpResponse:
        """Change settings of the account. Fields that are left out keep their values."""
        body = SettingsInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        with transaction.atomic():
            # The order of locks is account, billing profile, wallet, which a new zone settles.
            account = Account.objects.select_for_update(no_key=True).get(pk=account_id)
            invoice: dict[str, Any] = {name: body[name] for name in INVOICE_FIELDS if name in body}
            if invoice:
                invoices.set_details(account_id, **invoice)
            if "on_memorial_wall" in body:
                memorial_wall.set_listed(account, listed=body["on_memorial_wall"])
            account_settings.change(account_id, name=body.get("name"), zone=body.get("zone"))
        return json_body.answer(_settings(account_id))


def _settings(account_id: UUID) -> AccountSettings:
    account = Account.objects.get(pk=account_id)
    profile = selectors.profile_of(account_id)
    return {
        "account": account.public_id,
        "name": account.name,
        "zone": account.zone,
        "invoice_name": profile.invoice_name,
        "invoice_address": profile.invoice_address,
        "tax_id": profile.tax_id,
        "on_memorial_wall": account.on_wall,
    }
