"""The estimator of the public pages: a service, a form for a use of it, and its price.

Invariant: the price shown is what a charge of the same use would cost at this time.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pricing import estimates, lookup, selectors
from pricing.catalogue.cache import ServiceFacts
from pricing.forms import EstimateForm
from pricing.rates.quotes import Quote
from pricing.rates.validation import UsageInvalid
from pricing.selectors import PricedService


@dataclass(frozen=True, slots=True)
class Estimator:
    """What the estimator shows. Without a `quote`, `problem` or the errors of the form say why."""

    service: ServiceFacts
    form: EstimateForm
    quote: Quote | None = None
    problem: str = ""


def estimator(priced: PricedService, data: Any, *, now: datetime) -> Estimator | None:
    """The estimator for a service; None if it has no rate in force (or no model with one)."""
    facts, rate, models = priced.facts, priced.rate, _models_for(priced, now)
    if rate is None or (rate.cost_of_model and not models):
        return None
    if rate.cost_of_model:
        chosen = next((service for service in models if service.facts.key == data.get("model")), models[0])
        counting, service, action = chosen.rate, chosen.facts.key, facts.key
    else:
        counting, service, action = rate, facts.key, ""
    assert counting is not None
    form = EstimateForm(data, rate=counting, models=[service.facts for service in models])
    if form.is_bound and not form.is_valid():
        return Estimator(facts, form)
    try:
        return Estimator(facts, form, estimates.priced(service=service, action=action, now=now, **form.use()))
    except UsageInvalid as error:
        return Estimator(facts, form, problem=error.message)
    except (lookup.UnknownService, lookup.ServiceUnpriced) as error:
        return Estimator(facts, form, problem=str(error))


def _models_for(priced: PricedService, now: datetime) -> list[PricedService]:
    """The models for an action that costs what its model costs."""
    if priced.rate is None or not priced.rate.cost_of_model:
        return []
    of_kind = selectors.services(now=now, modality=priced.facts.modality, kind="model")
    return [service for service in of_kind if service.rate is not None]
