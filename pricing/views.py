"""Public pages of prices: the list, one service, the estimator, models side by side. Anybody may see them."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from pricing import estimates, selectors
from pricing.estimator import estimator
from pricing.forms import CompareForm, FilterForm
from pricing.rates import history, lookup
from pricing.rates.meters import PARTS

LISTED = 250  # rows of one page; an imported price map has thousands, and a search finds them


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
    }
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "pricing/_service_list.html", context)
    first = next((one for one in selectors.services(now=now) if one.rate is not None), None)
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
        "estimator": estimator(priced, request.GET, now=now),
        "periods": history.price_periods(key, now),
    }
    return render(request, "pricing/service.html", context)


@require_safe
@vary_on_headers("HX-Request")
def estimate(request: HttpRequest) -> HttpResponse:
    """The estimator of one service: a part of a page to htmx, a page of its own to everybody else."""
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
    models = [one for one in selectors.services(now=now, kind="model") if one.rate is not None]
    modalities = list(dict.fromkeys(one.facts.modality for one in models))
    chosen = request.GET.get("modality", "")
    modality = chosen if chosen in modalities else next(iter(modalities), "")
    asked: dict[str, None] = {}
    for one in models:
        if one.facts.modality == modality and one.rate is not None:
            # What a price counts together is asked for apart: models that count it apart compare too.
            asked |= {part: None for line in one.rate.lines for part in PARTS.get(line.meter, (line.meter,))}
    form = CompareForm(request.GET, modalities=modalities, modality=modality, asked=list(asked))
    compared = []
    if not form.is_bound or form.is_valid():
        compared = estimates.compare(now=now, usage=form.usage(), text=form.text(), modality=modality)
    context = {
        "form": form,
        "compared": compared[:LISTED],
        "has_speed": any(one.service.speed for one in compared),
        "has_usage_class": any(one.service.usage_class for one in compared),
    }
    part = request.htmx  # type: ignore[attr-defined]
    return render(request, "pricing/_comparison.html" if part else "pricing/compare.html", context)


def _service_or_404(key: str) -> selectors.PricedService:
    try:
        return selectors.service_by_key(key, timezone.now())
    except lookup.UnknownService as error:
        raise Http404 from error
