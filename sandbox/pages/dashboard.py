"""The developer dashboard: switches, test cards, objects, events, and actions that are due.

Invariant: its buttons use the same functions as the API.
"""

import json
from datetime import datetime

from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from sandbox import calls, scheduled_actions, store, switches
from sandbox.errors import StripeError
from sandbox.models import Mail, Resource
from sandbox.objects import deliveries, disputes, stripe_test_cards
from sandbox.pages import dashboard_actions
from sandbox.switches import Fault

MOST_SHOWN = 100


@never_cache
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    kinds = Resource.objects.exclude(kind="event").values("kind").annotate(count=Count("pk")).order_by("kind")
    context = {
        "switches": switches.states(),
        "test_cards": stripe_test_cards.CARDS,
        "kinds": kinds,
        "pending": scheduled_actions.pending(),
        "subscriptions": store.where("subscription", status="active")
        + store.where("subscription", status="past_due"),
        "disputes": [
            dispute
            for dispute in store.where("dispute")
            if dispute["status"] in (*disputes.OPEN, *disputes.INQUIRY)
        ],
        "event_count": Resource.objects.filter(kind="event").count(),
        "mail_count": Mail.objects.count(),
        "notice": request.GET.get("notice", ""),
    }
    return render(request, "sandbox/overview.html", context)


@require_POST
def turn_switch(request: HttpRequest) -> HttpResponse:
    """Set one switch, or turn all off."""
    name = request.POST.get("fault", "")
    if name == "all_off":
        switches.turn_all_off()
    elif name in Fault.values:
        number = request.POST.get("remaining", "0")
        seconds = request.POST.get("seconds", "")
        remaining = int(number) if number.lstrip("-").isdecimal() else 0
        switches.turn(
            Fault(name),
            remaining=max(-1, min(remaining, 10_000)),
            seconds=int(seconds) if seconds.isdecimal() else None,
        )
    return HttpResponseRedirect("/sandbox/#switches")


@require_POST
def run_due(request: HttpRequest) -> HttpResponse:
    """Run the actions and deliveries that are due."""
    now = timezone.now()
    done = scheduled_actions.run_due(now)
    tried = deliveries.deliver_due(now)
    notice = _("%(done)s actions run, %(tried)s deliveries attempted.") % {
        "done": done,
        "tried": tried,
    }
    return HttpResponseRedirect(f"/sandbox/?notice={notice}")


@never_cache
@require_GET
def objects(request: HttpRequest) -> HttpResponse:
    """The newest objects, with `?kind=` those of one kind."""
    rows = Resource.objects.exclude(kind="event").order_by("-position")
    kind = request.GET.get("kind", "")
    if kind:
        rows = rows.filter(kind=kind)
    kinds = Resource.objects.exclude(kind="event").values_list("kind", flat=True).distinct().order_by("kind")
    return render(request, "sandbox/objects.html", {"rows": rows[:MOST_SHOWN], "kind": kind, "kinds": kinds})


@never_cache
@require_GET
def object_detail(request: HttpRequest, stripe_id: str) -> HttpResponse:
    row = get_object_or_404(Resource, stripe_id=stripe_id)
    text = json.dumps(store.public(row.body), indent=2, ensure_ascii=False)
    context = {
        "row": row,
        "text": text,
        "actions": dashboard_actions.offered(row.body),
        "notice": request.GET.get("notice", ""),
    }
    return render(request, "sandbox/object.html", context)


@require_POST
def act(request: HttpRequest, stripe_id: str) -> HttpResponse:
    """Perform an action on an object."""
    notice = ""
    with transaction.atomic():
        store.lock()
        row = Resource.objects.filter(stripe_id=stripe_id).first()
        if row is None:
            raise Http404(_("This object does not exist."))
        try:
            dashboard_actions.perform(
                row.body, request.POST.get("action", ""), calls.without_request(timezone.now())
            )
        except StripeError as error:
            transaction.set_rollback(True)
            notice = str(error)
    back = request.POST.get("back", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = f"/sandbox/objects/{stripe_id}"
    return HttpResponseRedirect(f"{back}?notice={notice}" if notice else back)


@never_cache
@require_GET
def events(request: HttpRequest) -> HttpResponse:
    """The newest events with their deliveries, with `?about=` those of one object."""
    rows = Resource.objects.filter(kind="event").order_by("-position")
    if about := request.GET.get("about", ""):
        rows = rows.filter(body__data__object__id=about)
    found = list(rows[:MOST_SHOWN])
    states = deliveries.states_of(found)
    listed = [{"row": row, "deliveries": states.get(row.pk, [])} for row in found]
    return render(request, "sandbox/events.html", {"events": listed, "about": about})


@never_cache
@require_GET
def event_detail(request: HttpRequest, event_id: str) -> HttpResponse:
    row = get_object_or_404(Resource, kind="event", stripe_id=event_id)
    context = {
        "row": row,
        "deliveries": deliveries.states_of([row]).get(row.pk, []),
        "text": json.dumps(row.body, indent=2, ensure_ascii=False),
    }
    return render(request, "sandbox/event.html", context)


@require_POST
def redeliver(request: HttpRequest, event_id: str) -> HttpResponse:
    """Send an event again."""
    now: datetime = timezone.now()
    deliveries.redeliver(event_id, now)
    return HttpResponseRedirect(f"/sandbox/events/{event_id}")
