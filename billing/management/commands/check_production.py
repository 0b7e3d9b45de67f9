"""`manage.py check_production`: everything that must answer before an installation goes live."""

from collections.abc import Callable, Mapping
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core import checks
from django.core.cache import cache
from django.core.mail import EmailMessage, get_connection
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.crypto import get_random_string

from accounts import api_keys
from accounts.models import ApiKey, User
from billing import stripe_gateway

LARGEST_DIFFERENCE_SECONDS = 5.0


class NotReady(Exception):
    """A part is not ready; the message says what to do."""


class Command(BaseCommand):
    help = "Check settings, database, broker, cache, mail server and Stripe of a production installation."
    requires_system_checks = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--mail-to", help="also send an e-mail to this address")

    def handle(self, *_args: Any, **options: Any) -> None:
        parts: Mapping[str, Callable[[], str]] = {
            "settings": _settings,
            "system checks": _system_checks,
            "migrations": _migrations,
            "static files": _static_files,
            "clocks": _clocks,
            "cache": _cache,
            "broker": _broker,
            "mail server": lambda: _mail(options["mail_to"]),
            "Stripe": _stripe,
            "staff": _staff,
            "platform key": _platform_key,
        }
        failed = 0
        for name, part in parts.items():
            try:
                self.stdout.write(f"ok      {name}: {part()}")
            except Exception as error:  # each part is reported, whatever is wrong with another
                failed += 1
                reason = str(error) if isinstance(error, NotReady) else f"{type(error).__name__}: {error}"
                self.stdout.write(f"FAILED  {name}: {reason}")
        if failed:
            raise CommandError(f"{failed} of {len(parts)} are not ready.")


def _settings() -> str:
    if not settings.PRODUCTION:
        raise NotReady("set REFILL_ENV=production")
    return "REFILL_ENV=production"


def _system_checks() -> str:
    found = checks.run_checks(include_deployment_checks=True, databases=["default"])
    messages = [f"{one.id} {one.msg}" for one in found if one.level >= checks.WARNING]
    if messages:
        raise NotReady("; ".join(messages))
    return "no warnings"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise NotReady(f"{len(missing)} not applied: run the release line of the Procfile")
    return "all applied"


def _static_files() -> str:
    if getattr(staticfiles_storage, "hashed_files", None) == {}:
        raise NotReady("not collected on this host: run the release line of the Procfile")
    return "collected"


def _clocks() -> str:
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        difference = abs((timezone.now() - cursor.fetchone()[0]).total_seconds())
    if difference > LARGEST_DIFFERENCE_SECONDS:
        raise NotReady(f"this host and the database differ by {difference:.0f} s: synchronize them")
    return f"{difference:.1f} s between this host and the database"


def _cache() -> str:
    key, value = f"check_production:{get_random_string(12)}", get_random_string(12)
    cache.set(key, value, timeout=60)
    if cache.get(key) != value:
        raise NotReady("it does not return what was stored")
    cache.delete(key)
    return "stores and returns"


def _broker() -> str:
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=10)
        return f"answers ({broker.as_uri().partition(':')[0]})"


def _mail(address: str | None) -> str:
    with get_connection() as server:
        if address:
            text = "This e-mail was sent by manage.py check_production."
            EmailMessage("Refill can send e-mail", text, to=[address], connection=server).send()
    return f"sent to {address}" if address else "takes connections; --mail-to ADDRESS sends an e-mail"


def _stripe() -> str:
    account = stripe_gateway.account_of_key()
    if settings.STRIPE_ACCOUNT and account not in (settings.STRIPE_ACCOUNT, stripe_gateway.UNKNOWN_ACCOUNT):
        raise NotReady(f"the key is of {account}, and STRIPE_ACCOUNT is {settings.STRIPE_ACCOUNT}")
    return account


def _staff() -> str:
    if not User.objects.filter(is_superuser=True, is_active=True).exists():
        raise NotReady("nobody can administer: python manage.py createsuperuser")
    return "an administrator exists"


def _platform_key() -> str:
    if not api_keys.live_keys(timezone.now()).filter(kind=ApiKey.Kind.PLATFORM).exists():
        raise NotReady("python manage.py issue_platform_key --name backend")
    return "exists"
