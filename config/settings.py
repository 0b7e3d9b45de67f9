"""All settings, read from the environment; missing ones stop the start in production.

Without configuration everything runs on this machine: embedded PostgreSQL, Celery over it, a cache in the
database, e-mail on a local mailbox page, the sandbox in place of Stripe. docs/runbook.md lists the variables.
"""

import gc
import zoneinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config import (
    admin_layout,
    broker,
    content_policy,
    environment,
    logs,
    outgoing_webhooks,
    pooler,
    production,
    sign_in_pages,
    social_login,
    timeouts,
)
from config.openapi import settings as openapi_settings
from config.supervisor import embedded_postgres

gc.disable()  # until the apps are loaded: looking for garbage among what lives on takes a sixth of that time
env = environment.Environment()
GIVEN = env.given
BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env.text("REFILL_VAR") or BASE_DIR / "var").resolve()
ENVIRONMENT = env.raw("REFILL_ENV", "development")  # an empty one is refused as an unknown one is
PRODUCTION = ENVIRONMENT == "production"
DEBUG = env.flag("DEBUG", False)
PORT = env.count("PORT", 8000)
SITE_URL = (env.text("SITE_URL") or f"http://127.0.0.1:{PORT}").rstrip("/")
CATALOGUE = env.text("CATALOGUE", "refly")

SECRET_KEY = env.text("SECRET_KEY", production.DEVELOPMENT_SECRET_KEY)
SECRET_KEY_FALLBACKS = env.texts("SECRET_KEY_FALLBACKS")  # the old key during a rotation
ADDRESS_PEPPER = env.text("ADDRESS_PEPPER", SECRET_KEY)  # must stay the same when SECRET_KEY is rotated
ENCRYPTION_KEYS = env.texts("ENCRYPTION_KEYS")  # newest first; the keys before them were of SECRET_KEY
LEDGER_SIGNING_KEY = env.text("LEDGER_SIGNING_KEY")  # of the checkpoints; empty: derived from SECRET_KEY
LEDGER_OLD_PUBLIC_KEYS = env.texts("LEDGER_OLD_PUBLIC_KEYS")
METRICS_TOKEN = env.text("METRICS_TOKEN")  # who may read /metrics (config.metrics)
ALLOWED_HOSTS = env.texts("ALLOWED_HOSTS") or ["127.0.0.1", "localhost", "[::1]"]

# Payments: Stripe if a key is set, otherwise the sandbox.
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY")
STRIPE_PUBLISHABLE_KEY = env.text("STRIPE_PUBLISHABLE_KEY")
STRIPE_WEBHOOK_SECRETS = env.texts("STRIPE_WEBHOOK_SECRETS")  # several during a rotation
STRIPE_ACCOUNT = env.text("STRIPE_ACCOUNT")  # acct_…: events of other accounts are refused
SANDBOX = env.flag("SANDBOX", not STRIPE_SECRET_KEY and not PRODUCTION)
STRIPE_API_BASE = env.text("STRIPE_API_BASE") or (
    f"{SITE_URL}/sandbox/stripe" if SANDBOX else production.STRIPE_API
)
# Sign-in limits and heartbeats need a cache that all processes share.
CACHES: dict[str, Any] = {
    "default": env.cache("CACHE_URL")
    if "CACHE_URL" in GIVEN
    else {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "shared_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# The demo data has public passwords: it is made on a database of the operator only if asked for by name.
DEMO_WORLD = env.flag("DEMO_WORLD", SANDBOX and "DATABASE_URL" not in GIVEN)
production.refuse(
    production.Facts(
        environment=ENVIRONMENT,
        sandbox=SANDBOX,
        debug=DEBUG,
        secret_key=SECRET_KEY,
        allowed_hosts=tuple(ALLOWED_HOSTS),
        site_url=SITE_URL,
        stripe_secret_key=STRIPE_SECRET_KEY,
        stripe_api_base=STRIPE_API_BASE,
        stripe_webhook_secrets=tuple(STRIPE_WEBHOOK_SECRETS),
        demo_world=DEMO_WORLD,
        cache_backend=CACHES["default"]["BACKEND"],
        keys={
            "SECRET_KEY_FALLBACKS": SECRET_KEY_FALLBACKS,
            "ENCRYPTION_KEYS": ENCRYPTION_KEYS,
            "ADDRESS_PEPPER": [ADDRESS_PEPPER],
            "LEDGER_SIGNING_KEY": [LEDGER_SIGNING_KEY],
            "METRICS_TOKEN": [METRICS_TOKEN],
        },
        given=GIVEN,
    )
)
if SANDBOX:
    STRIPE_SECRET_KEY = "sk_test_sandbox"  # noqa: S105 - opens nothing but the sandbox
    STRIPE_WEBHOOK_SECRETS = ["whsec_sandbox"]

SOCIAL = social_login.read(env)
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "config.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "config.apps.CollectedConfig",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    *SOCIAL.apps,
    "allauth.usersessions",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "heroicons",
    "core",
    "accounts.apps.AccountsConfig",
    "pricing",
    "billing",
    "usage",
    *(["sandbox"] if SANDBOX else []),
]

MIDDLEWARE = [
    "config.middleware.RequestId",
    "core.problems.ProblemsUnderApi",
    "config.compression.Compression",
    "django.middleware.security.SecurityMiddleware",
    "core.api_fast_path.ApiFastPath",
    "config.static_files.StaticFiles",
    "csp.middleware.CSPMiddleware",
    "config.middleware.PolicyByPath",
    "core.htmx.FragmentsKeepTheSessionCookie",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.middleware.SignedInPagesAreNotStored",
    "config.metrics.Metrics",
    "config.health.Probes",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.language.Language",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "core.htmx.SignInOnWholePage",
    "accounts.viewing_requests.ViewAsCustomer",
    "config.middleware.LaterPage",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "usage.context_processors.portal",
            ],
        },
    }
]

DATABASES: dict[str, Any] = {
    "default": env.database("DATABASE_URL")
    if "DATABASE_URL" in GIVEN
    else embedded_postgres.ensure(VAR_DIR / "postgres")
}
DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)
# "transaction" behind PgBouncer in transaction mode: nothing may depend on the session.
DATABASE_POOLER = env.text("DATABASE_POOLER")
pooler.configure(DATABASES["default"], DATABASE_POOLER)
# Limits on statements and locks. Every process begins with those of a command; config.wsgi and config.celery
# replace them in theirs. A pooler does not take them: there the roles have them.
_LIMITS = ("", "", "") if DATABASE_POOLER else (timeouts.WEB, timeouts.WORKER, timeouts.COMMAND)
_WEB, _WORKER, _COMMAND = _LIMITS
WEB_DATABASE_TIMEOUTS = timeouts.parsed(env.raw("WEB_DATABASE_TIMEOUTS", _WEB), "WEB_DATABASE_TIMEOUTS")
WORKER_DATABASE_TIMEOUTS = timeouts.parsed(
    env.raw("WORKER_DATABASE_TIMEOUTS", _WORKER), "WORKER_DATABASE_TIMEOUTS"
)
COMMAND_DATABASE_TIMEOUTS = timeouts.parsed(
    env.raw("COMMAND_DATABASE_TIMEOUTS", _COMMAND), "COMMAND_DATABASE_TIMEOUTS"
)
timeouts.apply(DATABASES, COMMAND_DATABASE_TIMEOUTS)
WEB_THREADS = env.count("WEB_THREADS", 16)  # of a web process; at most half of them wait for wallets
WEB_WAITING = env.count("WEB_WAITING", 1000)  # requests that wait for a thread; further ones get 503
WEB_BODY_SECONDS = env.seconds("WEB_BODY_SECONDS", 30.0)  # for the body of a request to arrive
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# E-mail: the mailbox page of the sandbox, unless EMAIL_URL names a server.
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL") or f"billing@{urlsplit(SITE_URL).hostname}"
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_TIMEOUT = 10
if "EMAIL_URL" in GIVEN:
    globals().update(env.email("EMAIL_URL"))
elif SANDBOX:
    EMAIL_BACKEND = "sandbox.email_backend.EmailBackend"
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# Background work. Due work is found from rows in the database; the schedule sets how often.
CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", "pgmq://localhost")
CELERY_BROKER_TRANSPORT_OPTIONS = (
    broker.transport_options(DATABASES["default"]) if CELERY_BROKER_URL == "pgmq://localhost" else {}
)
if CELERY_BROKER_URL == "pgmq://localhost":
    CELERY_BROKER_TRANSPORT = "config.broker_transport:Transport"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = broker.QUEUE
# Processes of their own: a slow mail server delays e-mails only, and slow receivers delay webhooks only.
CELERY_TASK_ROUTES = outgoing_webhooks.ROUTES | {"billing.tasks.send_emails": {"queue": broker.MAIL_QUEUE}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True  # the task of a killed worker is delivered again: tasks are idempotent
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_TASK_TIME_LIMIT = 120
CELERY_WORKER_PREFETCH_MULTIPLIER = 2  # times concurrency 2: at most 4 messages are reserved by a worker
CELERY_WORKER_CONCURRENCY = env.count("WORKER_PROCESSES", 2)
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BEAT_SCHEDULER = "config.celery:Scheduler"
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "beat")
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # name: {"task": dotted name of an app's task, "schedule": seconds or crontab}
    "heartbeat": {"task": "config.heartbeat", "schedule": 15.0, "options": {"expires": 60}},
    "settle-due": {"task": "billing.tasks.settle_due", "schedule": 30.0, "options": {"expires": 60}},
    "stripe-events": {"task": "billing.tasks.process_events", "schedule": 30.0, "options": {"expires": 60}},
    "notices": {"task": "billing.tasks.queue_notices", "schedule": 10.0, "options": {"expires": 20}},
    "emails": {"task": "billing.tasks.send_emails", "schedule": 10.0, "options": {"expires": 10}},
    "surplus-plans": {
        "task": "billing.tasks.close_surplus_plans",
        "schedule": 60.0,
        "options": {"expires": 120},
    },
    "auto-top-up": {"task": "billing.tasks.top_up", "schedule": 15.0, "options": {"expires": 30}},
    "referrals": {"task": "billing.tasks.reward_referrals", "schedule": 60.0, "options": {"expires": 120}},
    "reconcile": {"task": "billing.tasks.reconcile", "schedule": 600.0, "options": {"expires": 600}},
    "expiring-soon": {"task": "billing.tasks.warn_of_expiry", "schedule": 600.0, "options": {"expires": 60}},
    "checkpoint": {
        "task": "billing.tasks.checkpoint_ledger",
        "schedule": env.seconds("LEDGER_CHECKPOINT_SECONDS", 300.0),
        "options": {"expires": 300},
    },
    "usage-sums": {"task": "usage.tasks.sum_usage", "schedule": 60.0, "options": {"expires": 60}},
    "spent-hours": {"task": "usage.tasks.sum_spent", "schedule": 300.0, "options": {"expires": 300}},
    "usage-emails": {"task": "usage.tasks.queue_usage_emails", "schedule": 60.0, "options": {"expires": 60}},
    "exports": {"task": "usage.tasks.write_exports", "schedule": 10.0, "options": {"expires": 10}},
    **outgoing_webhooks.SCHEDULE,
    # Daily work is asked for often and runs once a day (core.daily); a killed audit continues soon.
    "usage-sums-check": {"task": "usage.tasks.check_sums", "schedule": 300.0, "options": {"expires": 300}},
    "purge": {"task": "config.purge", "schedule": 300.0, "options": {"expires": 300}},
    "audit": {"task": "billing.tasks.audit_ledger", "schedule": 300.0, "options": {"expires": 300}},
}
if SANDBOX:
    CELERY_BEAT_SCHEDULE |= {
        "sandbox-deliver": {"task": "sandbox.tasks.deliver", "schedule": 5.0, "options": {"expires": 10}},
        "sandbox-time": {"task": "sandbox.tasks.pass_time", "schedule": 10.0, "options": {"expires": 20}},
    }

# Days for which records are kept that nothing needs any more (config.retention); answers: 0 for ever.
KEEP_MAIL_DAYS = env.count("KEEP_MAIL_DAYS", 400, least=62)  # e-mails of a month have its key
KEEP_EVENTS_DAYS = env.count("KEEP_EVENTS_DAYS", 400, least=62)  # Stripe sends none again after 30
KEEP_ANSWERS_DAYS = env.count("KEEP_ANSWERS_DAYS", 0, least=0)

WEBHOOK_PRIVATE_ADDRESSES = outgoing_webhooks.checked(
    env.text("WEBHOOK_PRIVATE_ADDRESSES", "none" if PRODUCTION else "all")
)
WEBHOOK_THREADS = env.count("WEBHOOK_THREADS", 32)  # requests at the same time

# The REST API. Keys: accounts.authentication; responses and errors: core.endpoint, core.problems.
API_RATE = env.rate("API_RATE", "60000/60")  # requests/seconds for each key, or empty for no limit
PLATFORM_API_RATE = env.rate("PLATFORM_API_RATE")  # of platform keys
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.KeyAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [],  # core.endpoint.Endpoint checks the principal and its scope
    "DEFAULT_SCHEMA_CLASS": "config.openapi.schema.EndpointSchema",
    "EXCEPTION_HANDLER": "core.problems.handle",
}
SPECTACULAR_SETTINGS = openapi_settings.SETTINGS

AUTH_USER_MODEL = "accounts.User"
LANGUAGE_CODE = "en"  # of the API, the admin, and wherever nobody has chosen another one
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]
USE_TZ = True
TIME_ZONE = "UTC"
# Time zones are those of the embedded PostgreSQL, so that pages and the ledger have the same days. With
# another PostgreSQL they are those of the pinned package tzdata, and not the files of the host, which can be
# years older; accounts/checks.py compares them with the rules of PostgreSQL.
zoneinfo.reset_tzpath(to=() if "DATABASE_URL" in GIVEN else [str(embedded_postgres.time_zones())])

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static_files.Storage"},
}
MEDIA_ROOT = VAR_DIR / "media"

# Security. Cookie names contain the port: browsers share cookies between the ports of one host, so two local
# portals would sign each other out.
_SUFFIX = "" if PRODUCTION else f"_{PORT}"
SESSION_COOKIE_NAME = f"refill_session{_SUFFIX}"
CSRF_COOKIE_NAME = f"refill_csrf{_SUFFIX}"
LANGUAGE_COOKIE_NAME = f"refill_language{_SUFFIX}"
LANGUAGE_COOKIE_AGE = 365 * 86400
LANGUAGE_COOKIE_HTTPONLY, LANGUAGE_COOKIE_SAMESITE = True, "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = PRODUCTION
CSRF_TRUSTED_ORIGINS = [SITE_URL] if SITE_URL.startswith("https://") else []
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = ["^healthz(/background)?$", "^(readyz|metrics)$"]  # requested without TLS
    SECURE_HSTS_SECONDS = env.count("SECURE_HSTS_SECONDS", 31_536_000, least=0)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS", True)
    SECURE_HSTS_PRELOAD = env.flag("SECURE_HSTS_PRELOAD", True)
    if env.flag("BEHIND_PROXY", True):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = content_policy.portal(stripe=not SANDBOX, others=SOCIAL.pages)
CSP_BY_PATH = content_policy.BY_PATH

LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logs.configuration(as_json=PRODUCTION, level=env.choice("LOG_LEVEL", "INFO", logs.LEVELS))
ACCESS_LOG = env.flag("ACCESS_LOG", PRODUCTION)
TRACES_ENDPOINT = env.address("OTEL_EXPORTER_OTLP_ENDPOINT")
SENTRY_DSN = env.address("SENTRY_DSN")
if SENTRY_DSN:
    logs.report_errors(dsn=SENTRY_DSN, environment=ENVIRONMENT, traces=env.share("SENTRY_TRACES", 0.0))

# Sign-in: allauth, with e-mail address and password or with a code. Its limits use the shared cache.
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "config.sign_in.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_LOGIN_BY_CODE_ENABLED = ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = 15 * 60
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_SESSION_REMEMBER = True
ALLAUTH_USER_CODE_FORMAT = {"numeric": True, "dashed": False, "length": 6}
# The number of our proxies that append to X-Forwarded-For; entries before theirs are set by the client.
ALLAUTH_TRUSTED_PROXY_COUNT = env.count("TRUSTED_PROXIES", 1 if PRODUCTION else 0, least=0)
ACCOUNT_FORMS = sign_in_pages.ACCOUNT_FORMS
MFA_ADAPTER = "config.sign_in.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_USER_VERIFICATION = "required"  # of every passkey: a stolen device alone signs nobody in
MFA_TOTP_TOLERANCE = 1
MFA_FORMS = sign_in_pages.MFA_FORMS
SOCIAL_LOGIN = SOCIAL.names  # none: no buttons, no routes
SOCIALACCOUNT_ADAPTER = "accounts.social_sign_in.SocialAdapter"
SOCIALACCOUNT_PROVIDERS = SOCIAL.providers
# A mailbox that the other site has verified signs in, as a code by e-mail does.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
STAFF_MFA_REQUIRED = env.flag("STAFF_MFA_REQUIRED", PRODUCTION)  # the admin requires a second factor
CREDITS_WITHOUT_APPROVAL = env.count("CREDITS_WITHOUT_APPROVAL", 1000, least=0)  # billing.adjustments
UNFOLD = admin_layout.UNFOLD
