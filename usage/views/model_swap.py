"""The page that prices the calls of one model on another."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage import selectors
from usage.dashboard import chart_data
from usage.repricing import model_swap
from usage.views.forms import SwapForm


@require_safe
@account_page
def swap(request: AccountRequest) -> HttpResponse:
    """The calls of the last days on another model."""
    now = timezone.now()
    used = model_swap.services_used(request.account, now)
    service = request.GET.get("service", "")
    service = service if service in used else (used[0] if used else "")
    others = model_swap.others(service, now)
    other = request.GET.get("other", "")
    form = SwapForm({"service": service, "other": other if other in others else ""})
    form.offer(services=selectors.service_names(used), others=selectors.service_names(others))
    names = selectors.service_names([service, other])
    context = {"form": form, "service_name": names[service], "other_name": names[other]}
    if other in others:
        shown = model_swap.preview(request.account, service=service, other=other, now=now)
        context["swap"] = shown
        context["calls_url"] = chart_data.usage_url("service", shown.period, only=service)
    return render(request, "usage/model_swap.html", context)
