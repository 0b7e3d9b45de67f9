"""The settings of the test suite: the product's own, in a world of their own.

Its data stands in `var/test` (or REFILL_VAR), so that tests never touch what `make run` keeps. DATABASE_URL
is honoured, to run the suite on another PostgreSQL; no other variable of the developer's leaks in.
"""

import os
from pathlib import Path

DATABASE_IS_THE_SUITES_OWN = (
    not {"REFILL_VAR", "DATABASE_URL"} & os.environ.keys()
)  # then it is stopped at the end
os.environ.setdefault("REFILL_VAR", str(Path(__file__).resolve().parent.parent / "var" / "test"))
_OURS = """
    REFILL_ENV DEBUG SITE_URL CATALOGUE SECRET_KEY ALLOWED_HOSTS SANDBOX STRIPE_SECRET_KEY STRIPE_API_BASE
    STRIPE_PUBLISHABLE_KEY STRIPE_WEBHOOK_SECRETS CACHE_URL EMAIL_URL CELERY_BROKER_URL SENTRY_DSN PORT
    STAFF_MFA_REQUIRED TRUSTED_PROXIES ADDRESS_PEPPER ENCRYPTION_KEYS
    WEB_DATABASE_TIMEOUTS WORKER_DATABASE_TIMEOUTS
"""
for _name in _OURS.split():
    os.environ.pop(_name, None)

from config.settings import *  # noqa: E402, F403

# Slow on purpose in the product, slow for nothing here.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Tasks run where they are sent, after the commit that sends them, and their errors are seen.
# The real broker and a real worker are tested in tests/config/test_worker.py.
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT_OPTIONS = {}

# Static files are served from where they lie, with nothing to collect first.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405

DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405 - the threads of a test leave no connection behind
