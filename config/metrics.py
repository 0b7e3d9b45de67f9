"""`/metrics` for Prometheus: figures of the database, and counters of this host's processes.

Invariant: it is answered to the bearer of METRICS_TOKEN alone; no label names an account or a person. Figures
that cannot be read are left out, and `refill_metrics_failed` counts them: one broken part hides no other.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Max, Min
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from config import health

log = logging.getLogger(__name__)
# Rows that the database has inserted since its statistics were reset: no table is counted.
_INSERTED = """select relname, n_tup_ins from pg_stat_user_tables
  where schemaname = current_schema() and relname = any(%s)"""
_TABLES = {"billing_charge": "charges", "billing_hold": "holds", "billing_grant": "grants"}
_TABLES |= {"billing_entry": "entries", "billing_purchase": "purchases", "billing_mail": "emails"}
_SESSIONS = """select coalesce(state, 'hidden'), count(*) from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend' group by 1"""
_LIMIT = "select current_setting('max_connections')::int"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures in Prometheus' text format; 404 without a METRICS_TOKEN, 401 without it in the request."""
    if not settings.METRICS_TOKEN:
        return HttpResponse("METRICS_TOKEN is not set.\n", status=404, content_type="text/plain")
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        refusal = HttpResponse("The bearer token is wrong.\n", status=401, content_type="text/plain")
        refusal["WWW-Authenticate"] = "Bearer"
        return refusal
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(Figures(timezone.now()))  # type: ignore[arg-type]
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Metrics:
    """Middleware that answers /metrics for any Host header, as health.Probes does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return metrics(request) if request.path_info == "/metrics" else self.get_response(request)


class Figures:
    """Collects the figures of the database at one time."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        parts = (_inserted, _purchases, _events, _emails, _settling, _audit, _heartbeats, _sessions)
        failed = 0
        for part in parts:
            try:
                with transaction.atomic():
                    yield from list(part(self.now))
            except (DatabaseError, ConnectionError) as error:
                log.warning("A figure could not be read: %s", error)
                failed += 1
        yield GaugeMetricFamily("refill_metrics_failed", "Groups of figures that could not be read.", failed)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"refill_{name}", text, value)


def _by(name: str, text: str, label: str, values: dict[str, Any]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"refill_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return list(cursor.fetchall())


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _inserted(_now: datetime) -> Iterator[Metric]:
    for table, number in sorted(_rows(_INSERTED, list(_TABLES))):
        what = _TABLES[table]
        yield CounterMetricFamily(f"refill_{what}", f"Number of {what} that were made.", number)


def _purchases(_now: datetime) -> Iterator[Metric]:
    from billing.models import Purchase

    found = Purchase.objects.values_list("status").annotate(number=Count("pk"))
    values = dict.fromkeys(Purchase.Status.values, 0) | dict(found)
    yield _by("purchases_by_status", "Purchases by their present status.", "status", values)


def _events(now: datetime) -> Iterator[Metric]:
    from accounts.models import WebhookEvent
    from billing.models import StripeEvent

    waiting = StripeEvent.objects.filter(state__in=StripeEvent.WAITING)
    figures = waiting.aggregate(number=Count("pk"), oldest=Min("received_at"))
    yield _gauge("stripe_events_waiting", "Stripe events that are not processed.", figures["number"])
    yield _gauge("stripe_events_waiting_seconds", "Age of the oldest.", _age(figures["oldest"], now))
    review = StripeEvent.objects.filter(state=StripeEvent.State.QUARANTINED).count()
    yield _gauge("stripe_events_quarantined", "Stripe events that staff have to review.", review)
    newest = StripeEvent.objects.order_by("-received_at").values_list("received_at", flat=True).first()
    yield _gauge("stripe_event_newest_seconds", "Time since the newest Stripe event.", _age(newest, now))
    unsent = WebhookEvent.objects.filter(fanned_out=False).aggregate(number=Count("pk"))
    yield _gauge("webhook_events_waiting", "Events that no sender has taken up.", unsent["number"])


def _emails(now: datetime) -> Iterator[Metric]:
    from billing.models import Mail

    figures = Mail.objects.filter(sent_at=None).aggregate(number=Count("pk"), oldest=Min("created_at"))
    yield _gauge("emails_waiting", "E-mails that are not sent.", figures["number"])
    yield _gauge("emails_waiting_seconds", "Age of the oldest.", _age(figures["oldest"], now))


def _settling(now: datetime) -> Iterator[Metric]:
    from billing.models import Wallet

    due = Wallet.objects.filter(next_due_at__lte=now).aggregate(number=Count("pk"), oldest=Min("next_due_at"))
    yield _gauge("wallets_due", "Wallets with an expiry or renewal that is due.", due["number"])
    yield _gauge("settle_lag_seconds", "For how long the first of them is due.", _age(due["oldest"], now))


def _audit(now: datetime) -> Iterator[Metric]:
    from billing.models import Audit

    newest = Audit.objects.aggregate(ended=Max("finished_at"))["ended"]
    if newest:
        yield _gauge("audit_age_seconds", "Time since the last audit ended.", _age(newest, now))
    state = health.audit_state()
    yield _gauge("audit_ok", "1 while the audit is recent and without findings.", float(state == "ok"))


def _heartbeats(now: datetime) -> Iterator[Metric]:
    seen = {name: cache.get(f"heartbeat:{name}") for name in health.HEARTBEATS}
    ages = {name: now.timestamp() - at for name, at in seen.items() if at is not None}
    yield _by("heartbeat_age_seconds", "Time since the last heartbeat of worker and beat.", "process", ages)


def _sessions(_now: datetime) -> Iterator[Metric]:
    sessions = dict(_rows(_SESSIONS))
    yield _by("database_sessions", "Sessions of the database by state, as it shows them.", "state", sessions)
    yield _gauge("database_sessions_most", "The largest number of sessions.", _rows(_LIMIT)[0][0])
