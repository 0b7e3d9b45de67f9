"""/services and /estimates: services with their prices, and the price of a use before it happens."""

from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from accounts.authentication import account_of
from billing import ledger
from core import json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.fields import AccountQuery, instant
from core.pagination import Page, PageQuery, page_of_catalogue
from pricing import selectors as catalogue
from pricing.lookup import UnknownService
from pricing.rates.rate import options_as_json
from usage import charging, entitlements
from usage.api import errors, request_schemas, response_schemas
from usage.api.request_schemas import use_of


class ServiceQuery(PageQuery):
    """Filters of the list of services."""

    modality = serializers.CharField(required=False, max_length=30)
    tier = serializers.CharField(required=False, max_length=30)
    tag = serializers.CharField(required=False, max_length=50)
    kind = serializers.ChoiceField(choices=["model", "action"], required=False)


class Services(Endpoint):
    """Services with their prices, in the catalogue's order."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[ServiceQuery], responses=Page[response_schemas.Service])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, ServiceQuery)
        _check_account(request, query)
        filters = {name: query[name] for name in ("modality", "tier", "tag", "kind") if name in query}
        found = catalogue.services(now=self.now, **filters)
        answer = page_of_catalogue(found, query, key=lambda service: service.facts.key, build=_service)
        return json_body.answer(answer)


class OneService(Endpoint):
    """One service with its price."""

    scopes = {"GET": "read"}
    raises = {"GET": (UnknownService,)}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.Service)
    def get(self, request: Request, service: str) -> HttpResponse:
        _check_account(request, query_of(request, AccountQuery))
        found = catalogue.service_by_key(service, self.now)
        return json_body.answer(_service(found))


class Estimates(Endpoint):
    """Price a use without charging it.

    With a `text` instead of `usage` its tokens are estimated, and the estimate is `approximate`. A charge or
    hold that names the estimate before `valid_until` is priced by the same rates.
    """

    scopes = {"POST": "read"}
    raises = {"POST": errors.OF_ESTIMATE}
    # JSON may escape a character as two surrogates of six bytes each
    largest_body = 12 * request_schemas.LARGEST_TEXT + json_body.LARGEST_BODY

    @extend_schema(request=request_schemas.EstimateInput, responses=response_schemas.Estimate)
    def post(self, request: Request) -> HttpResponse:
        body = request_schemas.EstimateInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        self.use = use = use_of(request, account_id, body)
        estimate = charging.estimate(use, text=body.get("text"), now=self.now)
        covered = entitlements.covered_by(
            account_id=account_id,
            service=use.service,
            action=use.action,
            own_key=use.own_key,
            now=self.now,
        )
        balance = ledger.balance(account_id, self.now)
        quote = estimate.quote
        credits = Decimal(0) if covered else quote.credits
        available = Decimal(0) if balance.debt else balance.spendable_on(quote.covers)
        answer: response_schemas.Estimate = {
            "id": estimate.id,
            "credits": plain(credits),
            "maximum": plain(Decimal(0) if covered else quote.maximum),
            "lines": quote.lines_as_json(),
            "rate": quote.rate_as_json(),
            "available": plain(available),
            "sufficient": available >= credits,
            "covered_by": covered,
            "approximate": quote.approximate,
            "valid_until": instant(estimate.valid_until),
        }
        return json_body.answer(answer)


def _check_account(request: Request, query: dict[str, Any]) -> None:
    """Services are the same for all accounts, but the caller must have access to the account it names."""
    if "account" in query:
        account_of(request)


def _service(service: catalogue.PricedService) -> response_schemas.Service:
    facts, rate = service.facts, service.rate
    return {
        "key": facts.key,
        "name": facts.name,
        "kind": facts.kind,
        "modality": facts.modality,
        "tags": list(facts.tags),
        "tier": facts.tier or None,
        "speed": facts.speed or None,
        "usage_class": facts.usage_class or None,
        "best_for": facts.best_for or None,
        "providers": list(facts.providers),
        "quota": facts.quota or None,
        "priced": rate is not None,
        "cost_of_model": rate is not None and rate.cost_of_model,
        "lines": [
            {
                "meter": line.meter,
                "credits": plain(line.credits),
                "per": line.per,
                "whole_blocks": line.whole_blocks,
                "also": list(line.also),
                "bands": [{"up_to": band.up_to, "credits": plain(band.credits)} for band in line.bands],
            }
            for line in (rate.lines if rate else ())
        ],
        "minimum": plain(rate.minimum) if rate else "0",
        "multiplier": plain(rate.multiplier) if rate else "1",
        "options": options_as_json(rate.options) if rate else {},
        "rate": {"version": rate.version, "effective_at": instant(rate.effective_at)} if rate else None,
    }
