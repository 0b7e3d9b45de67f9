"""Settings of the test suite: the product's settings, isolated from the developer's environment.

Data is stored in `var/test` (or REFILL_VAR), so that tests never change the data of `make run`. DATABASE_URL
selects another PostgreSQL; all other variables of the product are removed from the environment. CITUS_URL
selects a database of Citus (tests/nodes.py).
"""

import os
from pathlib import Path

if "CITUS_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["CITUS_URL"]
DATABASE_IS_THE_SUITES_OWN = (
    not {"REFILL_VAR", "DATABASE_URL"} & os.environ.keys()
)  # then it is stopped at the end
os.environ.setdefault("REFILL_VAR", str(Path(__file__).resolve().parent.parent / "var" / "test"))
_OURS = """
    REFILL_ENV DEBUG SITE_URL CATALOGUE SECRET_KEY ALLOWED_HOSTS SANDBOX STRIPE_SECRET_KEY STRIPE_API_BASE
    STRIPE_PUBLISHABLE_KEY STRIPE_WEBHOOK_SECRETS CACHE_URL EMAIL_URL CELERY_BROKER_URL SENTRY_DSN PORT
    PLATFORM_API_RATE STAFF_MFA_REQUIRED TRUSTED_PROXIES ADDRESS_PEPPER ENCRYPTION_KEYS
    DEMO_WORLD METRICS_TOKEN API_RATE KEEP_MAIL_DAYS KEEP_EVENTS_DAYS KEEP_ANSWERS_DAYS
    GOOGLE_CLIENT_ID GOOGLE_CLIENT_SECRET GITHUB_CLIENT_ID GITHUB_CLIENT_SECRET
    LEDGER_SIGNING_KEY LEDGER_OLD_PUBLIC_KEYS LEDGER_CHECKPOINT_SECONDS
    WEB_DATABASE_TIMEOUTS WORKER_DATABASE_TIMEOUTS COMMAND_DATABASE_TIMEOUTS WEB_THREADS DATABASE_POOLER
"""
for _name in _OURS.split():
    os.environ.pop(_name, None)
# A site whose accounts sign in; tests/accounts/other_site.py runs it on a port of its own.
os.environ |= {"SOCIAL_LOGIN": "oidc", "OIDC_CLIENT_ID": "refill", "OIDC_CLIENT_SECRET": "secret"}
os.environ |= {"OIDC_NAME": "Wonderland", "OIDC_SERVER_URL": "http://127.0.0.1:1"}

from config.supervisor import embedded_postgres  # noqa: E402

if DATABASE_IS_THE_SUITES_OWN:
    # Nobody needs the data after a loss of power: the server does not wait for the disk. A prepared statement
    # is planned once: planning the audit for a few rows takes 25 times as long as running it.
    embedded_postgres.SETTINGS |= {
        "fsync": "off",
        "full_page_writes": "off",
        "plan_cache_mode": "force_generic_plan",
    }

from config import timeouts  # noqa: E402
from config.settings import *  # noqa: E402, F403

# The product's hasher is slow on purpose; tests do not need that.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Tasks run in the process that sends them, after the commit, and raise their errors there.
# The real broker and a real worker are tested in tests/config/test_worker.py.
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT = None  # type: ignore[assignment]
CELERY_BROKER_TRANSPORT_OPTIONS = {}

# The SDK writes two lines for each request to Stripe.
LOGGING["loggers"]["stripe"] = {"level": "WARNING"}  # noqa: F405

# Static files are served from their source directories, without collectstatic.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405

timeouts.apply(DATABASES, {})  # noqa: F405 - tests on a loaded machine may wait for long
if "CITUS_URL" in os.environ:
    # it exists, with the extension on all nodes: the suite cannot create one
    DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}  # noqa: F405
DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405 - threads of a test keep no connections open
