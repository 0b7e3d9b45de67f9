"""The names of all environment variables, and which of those that are set look like another one misspelled.

Invariant: a variable whose name differs from a known one by one slip (a character too many, missing or
different, two exchanged, or capitals) is never ignored while the known one is missing.
"""

from collections.abc import Collection

# The table of docs/runbook.md has the same names; a test compares them.
_NAMES = """
REFILL_ENV REFILL_VAR PORT HOST SITE_URL DEMO_WORLD CATALOGUE DEBUG
DATABASE_URL WEB_DATABASE_TIMEOUTS WORKER_DATABASE_TIMEOUTS COMMAND_DATABASE_TIMEOUTS
RUNTIME_ROLE DATABASE_POOLER CELERY_BROKER_URL CACHE_URL EMAIL_URL DEFAULT_FROM_EMAIL
SECRET_KEY SECRET_KEY_FALLBACKS ENCRYPTION_KEYS ADDRESS_PEPPER METRICS_TOKEN
LEDGER_SIGNING_KEY LEDGER_OLD_PUBLIC_KEYS LEDGER_CHECKPOINT_SECONDS
STRIPE_SECRET_KEY STRIPE_PUBLISHABLE_KEY STRIPE_WEBHOOK_SECRETS STRIPE_ACCOUNT STRIPE_API_BASE SANDBOX
CREDITS_WITHOUT_APPROVAL STAFF_MFA_REQUIRED SOCIAL_LOGIN GOOGLE_CLIENT_ID GOOGLE_CLIENT_SECRET
GITHUB_CLIENT_ID GITHUB_CLIENT_SECRET OIDC_CLIENT_ID OIDC_CLIENT_SECRET OIDC_SERVER_URL OIDC_NAME
API_RATE PLATFORM_API_RATE ALLOWED_HOSTS BEHIND_PROXY TRUSTED_PROXIES
SECURE_SSL_REDIRECT SECURE_HSTS_SECONDS SECURE_HSTS_INCLUDE_SUBDOMAINS SECURE_HSTS_PRELOAD
WEB_PROCESSES WEB_THREADS WEB_CONNECTIONS WEB_WAITING WEB_BODY_SECONDS WORKER_PROCESSES
WEBHOOK_PRIVATE_ADDRESSES WEBHOOK_THREADS KEEP_MAIL_DAYS KEEP_EVENTS_DAYS KEEP_ANSWERS_DAYS
LOG_LEVEL ACCESS_LOG OTEL_EXPORTER_OTLP_ENDPOINT SENTRY_DSN SENTRY_TRACES
"""
KNOWN = frozenset(_NAMES.split())
SHORTEST = 7  # shorter names, such as PORT, are one slip from names that other programs use
OF_EVERY_ENVIRONMENT = frozenset({"REFILL_ENV", "REFILL_VAR"})  # the others are checked in production only


def misspelled(given: Collection[str], *, production: bool) -> list[tuple[str, str]]:
    """The variables that look misspelled, each with the one that may be meant and is missing."""
    missing = [
        name
        for name in sorted(KNOWN if production else OF_EVERY_ENVIRONMENT)
        if name not in given and len(name) >= SHORTEST
    ]
    others = sorted(set(given) - KNOWN)
    return [(other, name) for other in others for name in missing if _is_one_slip(other, name)]


def _is_one_slip(given: str, name: str) -> bool:
    if given.upper() == name:
        return True
    pairs = enumerate(zip(given, name, strict=False))
    start = next((index for index, (one, other) in pairs if one != other), min(len(given), len(name)))
    given, name = given[start:], name[start:]
    exchanged = given[:2] == name[:2][::-1] and given[2:] == name[2:]
    return exchanged or given[1:] == name or given == name[1:] or given[1:] == name[1:]
