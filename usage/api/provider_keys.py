"""/provider-keys: an account's own keys at model providers. Responses never contain the secret."""

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts import provider_keys
from accounts.authentication import account_of, object_of
from accounts.models import Account, ProviderKey
from core import json_body
from core.endpoint import Endpoint, query_of
from core.fields import AccountQuery, instant
from core.pagination import Page, PageQuery, page
from core.problems import field_problem
from pricing.catalogue import cache as catalogue_cache
from usage.api import request_schemas, response_schemas


class ProviderKeys(Endpoint):
    """Keys of the account at model providers, and storing one."""

    scopes = {"GET": "manage", "POST": "manage"}

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.ProviderKey])
    def get(self, request: Request) -> HttpResponse:
        """The account's own keys at model providers, newest first, without their secrets."""
        query = query_of(request, PageQuery)
        rows = ProviderKey.objects.filter(account_id=account_of(request))
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_provider_key))

    @extend_schema(request=request_schemas.ProviderKeyInput, responses={201: response_schemas.ProviderKey})
    def post(self, request: Request) -> HttpResponse:
        """Store a key of the account at a model provider."""
        body = request_schemas.ProviderKeyInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        supported = [provider.key for provider in catalogue_cache.current().policies.providers]
        if body["provider"] not in supported:
            raise field_problem(
                "provider",
                "unknown_provider",
                _("Provider keys are not supported for this provider. Choose one of: %(supported)s.")
                % {"supported": ", ".join(supported) or _("none")},
            )
        key = provider_keys.store(
            account=Account.objects.get(pk=account_id),
            provider=body["provider"],
            secret=body["key"],
            now=self.now,
        )
        return json_body.answer(_provider_key(key), 201)


class OneProviderKey(Endpoint):
    """Delete a provider key."""

    scopes = {"DELETE": "manage"}
    path_ids = {"provider_key": ProviderKey}

    @extend_schema(parameters=[AccountQuery], responses={204: None})
    def delete(self, request: Request, provider_key: str) -> HttpResponse:
        query_of(request, AccountQuery)
        provider_keys.forget(object_of(request, ProviderKey, provider_key))
        return HttpResponse(status=204)


def _provider_key(key: ProviderKey) -> response_schemas.ProviderKey:
    return {
        "id": key.public_id,
        "provider": key.provider,
        "last_four": key.last_four,
        "created_at": instant(key.created_at),
    }
