"""Public price pages: the list, one service, the estimator, the comparison of models."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from pricing import estimates, lookup, selectors
from pricing.catalogue import rate_history
from pricing.estimator import estimator
from pricing.forms import CompareForm, FilterForm
from pricing.rates.meters import PARTS

LISTED = 250  # rows of a page; an imported price map has thousands of services


@require_safe
@vary_on_headers("HX-Request")
def price_list(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    form = FilterForm(request.GET, filters=selectors.filters())
    chosen = form.chosen()
    services = selectors.services(now=now, **chosen)
    context: dict[str, Any] = {
        "form": form,
        "groups": selectors.by_kind(services[:LISTED]),
        "more": max(0, len(services) - LISTED),
        "narrowed": any(chosen.values()),
        "notes": selectors.price_notes(now),
    }
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "pricing/_service_list.html", context)
    first = next((service for service in selectors.services(now=now) if service.rate is not None), None)
    context["all_services"] = selectors.services(now=now)[:LISTED]
    context["service"] = first
    context["estimator"] = estimator(first, {}, now=now) if first else None
    return render(request, "pricing/price_list.html", context)


@require_safe
def service(request: HttpRequest, key: str) -> HttpResponse:
    now = timezone.now()
    priced = _service_or_404(key)
    context = {
        "service": priced,
        "notes": selectors.price_notes(now),
        "estimator": estimator(priced, request.GET, now=now),
        "periods": rate_history.price_periods(key, now),
    }
    return render(request, "pricing/service.html", context)


@require_safe
@vary_on_headers("HX-Request")
def estimate(request: HttpRequest) -> HttpResponse:
    """The estimator of one service: a fragment for htmx, otherwise a page."""
    now = timezone.now()
    priced = _service_or_404(request.GET.get("service", ""))
    context = {
        "service": priced,
        "estimator": estimator(priced, request.GET, now=now),
        "all_services": selectors.services(now=now)[:LISTED],
    }
    part = request.htmx  # type: ignore[attr-defined]
    return render(request, "pricing/_estimator.html" if part else "pricing/estimate.html", context)


@require_safe
@vary_on_headers("HX-Request")
def compare(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    models = [service for service in selectors.services(now=now, kind="model") if service.rate is not None]
    modalities = list(dict.fromkeys(service.facts.modality for service in models))
    chosen = request.GET.get("modality", "")
    modality = chosen if chosen in modalities else next(iter(modalities), "")
    asked: dict[str, None] = {}
    for service in models:
        if service.facts.modality == modality and service.rate is not None:
            # Input and output are entered separately, for models that price them separately.
            asked |= {
                part: None for line in service.rate.lines for part in PARTS.get(line.meter, (line.meter,))
            }
    form = CompareForm(request.GET, modalities=modalities, modality=modality, asked=list(asked))
    compared = []
    if not form.is_bound or form.is_valid():
        compared = estimates.compare(now=now, usage=form.usage(), text=form.text(), modality=modality)
    context = {
        "form": form,
        "compared": compared[:LISTED],
        "has_speed": any(row.service.speed for row in compared),
        "has_usage_class": any(row.service.usage_class for row in compared),
    }
    part = request.htmx  # type: ignore[attr-defined]
    return render(request, "pricing/_comparison.html" if part else "pricing/compare.html", context)


def _service_or_404(key: str) -> selectors.PricedService:
    try:
        return selectors.service_by_key(key, timezone.now())
    except lookup.UnknownService as error:
        raise Http404 from error
