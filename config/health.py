"""Health checks: `/healthz` (alive), `/readyz` (ready), `/healthz/background`, and the heartbeats.

Invariant: `/readyz` is 200 while charges and pages can be served; otherwise 503 with the state of each part.
A silent worker or beat, webhooks that nobody sends, and findings and delays of the audit make
`/healthz/background` fail and never the others: they are no reason to stop serving. No response contains a
secret or an internal detail.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable
from functools import partial

from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.cache import cache
from django.db import Error, OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import resolve
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from psycopg import errors

log = logging.getLogger(__name__)

OLDEST_HEARTBEAT_SECONDS = 60
SPACE_ROWS = 100_000  # about 2 MB
SPACE_SECONDS = 5.0  # a process writes a temporary file at most this often
_space_until = 0.0
HEARTBEATS = ("worker", "beat")
OLDEST_NEW_EVENT = dt.timedelta(minutes=5)
OLDEST_MAIL = dt.timedelta(minutes=15)
OLDEST_AUDIT = dt.timedelta(hours=36)  # beat starts one each day


def beat(name: str) -> None:
    """Record that `name` ("worker", "beat") is alive now."""
    cache.set(f"heartbeat:{name}", timezone.now().timestamp(), timeout=None)


def beat_quietly(name: str) -> bool:
    """Record a heartbeat; False, with a log entry, when it could not be stored."""
    try:
        beat(name)
    except Exception:
        log.exception("The heartbeat of %s could not be stored", name)
        connection.close()
        return False
    return True


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Alive: this process responds. A database failure is no reason to restart it, so it is not checked."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Ready: this process can serve. It needs the database, its disk, the migrations and the static files."""
    parts = {"database": _database, "disk": _disk, "migrations": _migrations, "static": _static}
    return _report(parts)


def _report(named: dict[str, Callable[[], str]]) -> JsonResponse:
    checks = {name: _outcome(name, check) for name, check in named.items()}
    red = sorted(name for name, outcome in checks.items() if outcome != "ok")
    return JsonResponse(
        {"status": "red" if red else "ok", "red": red, "checks": checks}, status=503 if red else 200
    )


@never_cache
@require_safe
def background(request: HttpRequest) -> JsonResponse:
    """The work behind the pages: the heartbeats, waiting webhooks, the age and outcome of the audit."""
    heartbeats = {name: partial(_heartbeat, name) for name in HEARTBEATS}
    return _report({**heartbeats, "webhooks": _webhooks, "mail": _mail, "audit": audit_state})


PROBES: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz": healthz,
    "/healthz/background": background,
    "/readyz": readyz,
}


class Probes:
    """Middleware that answers these checks for any Host header.

    A load balancer uses the address of the machine, which is not in ALLOWED_HOSTS.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = PROBES.get(request.path_info)
        if probe is None:
            return self.get_response(request)
        request.resolver_match = resolve(request.path_info)  # the access log has its route
        return probe(request)


def _outcome(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:
        log.warning("The health check of %s failed: %s", name, type(error).__name__)
        if isinstance(error, Error):
            connection.close()
        return "does not answer"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("select pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool")
        row = cursor.fetchone()
    return "is read-only" if row and row[0] else "ok"


def _disk() -> str:
    """Whether the database can write SPACE_ROWS rows to a temporary file: a full disk still answers reads."""
    global _space_until
    if time.monotonic() < _space_until:
        return "ok"
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("set local work_mem = '64kB'")
            cursor.execute("select count(*) from generate_series(1, %s)", [SPACE_ROWS])
    except OperationalError as error:
        if isinstance(error.__cause__, errors.DiskFull | errors.ConfigurationLimitExceeded):
            return "is full"
        raise
    _space_until = time.monotonic() + SPACE_SECONDS
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(missing)} not applied" if missing else "ok"


def _static() -> str:
    """Whether the static files were collected on this host before this process started."""
    names = getattr(staticfiles_storage, "hashed_files", None)  # None: a storage of development
    return "not collected" if names == {} else "ok"


def _heartbeat(name: str) -> str:
    seen = cache.get(f"heartbeat:{name}")
    if seen is None:
        return "never seen"
    age = timezone.now().timestamp() - seen
    return "ok" if age <= OLDEST_HEARTBEAT_SECONDS else f"silent for {age:.0f} s"


def _webhooks() -> str:
    """Whether a sender takes up new events. Receivers that do not answer are no reason for an alert."""
    from accounts.models import WebhookEvent  # this module is imported before the models are loaded

    oldest = WebhookEvent.objects.filter(fanned_out=False).order_by("pk").first()
    waits = timezone.now() - oldest.created_at if oldest else dt.timedelta()
    return "ok" if waits <= OLDEST_NEW_EVENT else f"events wait since {waits.total_seconds() / 60:.0f} min"


def _mail() -> str:
    """Whether e-mails are sent. One that a server refuses for good is tried again, and reported here."""
    from billing.models import Mail  # this module is imported before the models are loaded

    oldest = Mail.objects.filter(sent_at=None).order_by("pk").first()
    waits = timezone.now() - oldest.created_at if oldest else dt.timedelta()
    return "ok" if waits <= OLDEST_MAIL else f"e-mails wait since {waits.total_seconds() / 60:.0f} min"


def audit_state() -> str:
    """The state of the audit. A finding stands until a full audit finds nothing."""
    from billing.models import Audit, Wallet  # this module is imported before the models are loaded

    newest = Audit.objects.order_by("pk").last()
    if (
        newest is None
    ):  # a new installation, unless it has been used for longer than an audit may take to come
        overdue = Wallet.objects.filter(created_at__lt=timezone.now() - OLDEST_AUDIT).exists()
        return "never run" if overdue else "ok"
    full = Audit.objects.filter(is_full=True).order_by("pk").last()
    since = Audit.objects.filter(pk__gte=full.pk if full else 0)
    if failed := since.exclude(findings=[]).order_by("pk").last():
        return f"{len(failed.findings)} findings in the audit of {failed.started_at:%Y-%m-%d %H:%M} UTC"
    age = timezone.now() - newest.finished_at
    return "ok" if age <= OLDEST_AUDIT else f"the last one ended {age.total_seconds() / 3600:.0f} h ago"
