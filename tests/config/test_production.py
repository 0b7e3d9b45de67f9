"""Production does not start with development defaults; the error names every wrong setting."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import production

BASE_DIR = Path(__file__).resolve().parents[2]
REAL_SECRET = "kT7pQ2wX9vB4nM6sZ1cR8yL3hJ5gF0dA-uEiOqWxYzPlMkNjBh"
REAL_KEY = "7pQ2wX9vB4nM6sZ1cR8yL3hJ5gF0dAuE"
OTHER_KEYS = frozenset({"SECRET_KEY_FALLBACKS", "ENCRYPTION_KEYS", "ADDRESS_PEPPER", "LEDGER_SIGNING_KEY"})

VALID = production.Facts(
    environment="production",
    sandbox=False,
    debug=False,
    secret_key=REAL_SECRET,
    allowed_hosts=("credits.example.org",),
    site_url="https://credits.example.org",
    stripe_secret_key="sk_live_51Nxyz",
    stripe_api_base="https://api.stripe.com",
    stripe_webhook_secrets=("whsec_0123456789abcdef0123",),
    demo_world=False,
    cache_backend="django.core.cache.backends.redis.RedisCache",
    keys={"SECRET_KEY_FALLBACKS": [], "ENCRYPTION_KEYS": [REAL_KEY], "ADDRESS_PEPPER": [REAL_SECRET]},
    given=frozenset({"REFILL_ENV", "SECRET_KEY", "ALLOWED_HOSTS", "SITE_URL", "DATABASE_URL", "EMAIL_URL"}),
)

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "REFILL_ENV": "production",
    "SECRET_KEY": REAL_SECRET,
    "ALLOWED_HOSTS": "credits.example.org",
    "SITE_URL": "https://credits.example.org",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "EMAIL_URL": "smtp+tls://nobody:nothing@127.0.0.1:1",
    "STRIPE_SECRET_KEY": "sk_live_51Nxyz",
    "STRIPE_WEBHOOK_SECRETS": "whsec_0123456789abcdef0123",
}


def start(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """Load settings and apps in a separate process with these variables changed, or removed (None)."""
    code = "import django, gc; django.setup(); print('started, collects garbage:', gc.isenabled())"
    environment = {name: value for name, value in (ENVIRONMENT | changes).items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=BASE_DIR,
        env=environment | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_valid_production_configuration_is_accepted() -> None:
    production.refuse(VALID)


@pytest.mark.fault("O4")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secret_key": production.DEVELOPMENT_SECRET_KEY}, "SECRET_KEY"),
        ({"secret_key": "short"}, "SECRET_KEY"),
        ({"given": VALID.given - {"SECRET_KEY"}}, "SECRET_KEY is missing"),
        ({"debug": True}, "DEBUG"),
        ({"given": VALID.given - {"ALLOWED_HOSTS"}}, "ALLOWED_HOSTS is missing"),
        ({"allowed_hosts": ("*",)}, "ALLOWED_HOSTS"),
        ({"given": VALID.given - {"DATABASE_URL"}}, "DATABASE_URL is missing"),
        ({"given": VALID.given - {"EMAIL_URL"}}, "EMAIL_URL is missing"),
        ({"given": VALID.given - {"SITE_URL"}}, "SITE_URL is missing"),
        ({"site_url": "http://credits.example.org"}, "SITE_URL"),
        ({"stripe_secret_key": ""}, "STRIPE_SECRET_KEY is missing"),
        ({"stripe_secret_key": "pk_live_51Nxyz"}, "STRIPE_SECRET_KEY"),
        ({"stripe_webhook_secrets": ()}, "STRIPE_WEBHOOK_SECRETS is missing"),
        ({"stripe_webhook_secrets": ("whsec_sandbox",)}, "STRIPE_WEBHOOK_SECRETS"),
        ({"sandbox": True}, "SANDBOX"),
        ({"demo_world": True}, "DEMO_WORLD is on in production"),
        ({"secret_key": "ab" * 40}, "SECRET_KEY"),
        *(
            ({"given": VALID.given | OTHER_KEYS, "keys": {name: keys}}, f"{name} has an empty or weak key")
            for name in sorted(OTHER_KEYS)
            for keys in ([], ["x" * 40], [REAL_KEY, "short"])
        ),
        *(
            ({"cache_backend": f"django.core.cache.backends.{backend}"}, "CACHE_URL")
            for backend in ("locmem.LocMemCache", "dummy.DummyCache", "filebased.FileBasedCache")
        ),
        ({"stripe_api_base": "http://127.0.0.1:8000/sandbox/stripe"}, "STRIPE_API_BASE"),
    ],
)
def test_it_refuses_and_names_the_setting(change: dict[str, object], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        production.refuse(dataclasses.replace(VALID, **change))  # type: ignore[arg-type]


@pytest.mark.fault("O4")
def test_a_live_key_beside_the_sandbox_is_refused_in_development_too() -> None:
    facts = dataclasses.replace(VALID, environment="development", sandbox=True)
    with pytest.raises(ImproperlyConfigured, match="STRIPE_SECRET_KEY is a live key while SANDBOX is on"):
        production.refuse(facts)


@pytest.mark.fault("O8")
def test_a_demo_world_needs_the_sandbox() -> None:
    facts = dataclasses.replace(VALID, environment="development", demo_world=True)
    with pytest.raises(ImproperlyConfigured, match="DEMO_WORLD needs the sandbox"):
        production.refuse(facts)
    production.refuse(dataclasses.replace(facts, sandbox=True, stripe_secret_key=""))


@pytest.mark.fault("O8")
@pytest.mark.parametrize("name", ["prod", "Production", "staging", "test", "production ", ""])
def test_an_unknown_environment_is_refused_with_the_valid_names(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="REFILL_ENV") as error:
        production.refuse(dataclasses.replace(VALID, environment=name))
    assert "development" in str(error.value) and "production" in str(error.value)


@pytest.mark.fault("O8")
def test_the_real_settings_refuse_an_unknown_environment_before_anything_is_started() -> None:
    for name in "prod", "":
        refused = start(REFILL_ENV=name, DATABASE_URL=None, SECRET_KEY=None)
        assert refused.returncode != 0
        assert f"REFILL_ENV must be “development” or “production”, not “{name}”" in refused.stderr
        assert "SECRET_KEY" not in refused.stderr  # checks that depend on the environment have not run


@pytest.mark.fault("O8")
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("REFIL_ENV", "REFILL_ENV"),
        ("REFILL_ENVS", "REFILL_ENV"),
        ("refill_env", "REFILL_ENV"),
        ("METRIC_TOKEN", "METRICS_TOKEN"),
        ("STAFF_MFA_REQUIERD", "STAFF_MFA_REQUIRED"),
        ("ENCRYPTION-KEYS", "ENCRYPTION_KEYS"),
    ],
)
def test_a_misspelled_variable_is_refused_with_the_name_that_is_meant(given: str, meant: str) -> None:
    facts = dataclasses.replace(VALID, given=VALID.given - {meant} | {given})
    with pytest.raises(ImproperlyConfigured, match=f"{given} is set, and {meant} is not"):
        production.refuse(facts)
    production.refuse(dataclasses.replace(facts, given=facts.given | {meant}))


def test_variables_of_other_programs_are_no_misspelled_ones() -> None:
    others = {"POSTGRES_PORT", "PORTS", "HOSTS", "WEB_PORT", "DATABASE_URL_FILE", "DEBUGS", "CONCURRENCY"}
    production.refuse(dataclasses.replace(VALID, given=VALID.given | others))
    facts = dataclasses.replace(
        VALID, environment="development", given=frozenset({"LOGLEVEL", "DATABASE_URI"})
    )
    production.refuse(facts)  # in development only the name of the environment and of the data directory
    with pytest.raises(ImproperlyConfigured, match="REFILL_ENV is not"):
        production.refuse(dataclasses.replace(facts, given=frozenset({"REFIL_ENV"})))


def test_the_error_names_all_wrong_settings() -> None:
    facts = dataclasses.replace(VALID, debug=True, secret_key="short", site_url="http://a.example")
    with pytest.raises(ImproperlyConfigured) as error:
        production.refuse(facts)
    assert all(name in str(error.value) for name in ("SECRET_KEY", "DEBUG", "SITE_URL"))


@pytest.mark.fault("O4")
def test_the_real_settings_start_in_production_and_refuse_without_a_secret() -> None:
    assert start().stdout == "started, collects garbage: True\n"
    refused = start(SECRET_KEY=None, DEBUG="true")
    assert refused.returncode != 0
    assert "SECRET_KEY is missing" in refused.stderr and "DEBUG is on" in refused.stderr


@pytest.mark.fault("O4")
def test_the_real_settings_refuse_a_cache_of_one_process_and_weak_keys() -> None:
    refused = start(CACHE_URL="locmemcache://", ENCRYPTION_KEYS=" , ", ADDRESS_PEPPER="pepper")
    assert refused.returncode != 0
    assert all(name in refused.stderr for name in ("CACHE_URL", "ENCRYPTION_KEYS", "ADDRESS_PEPPER"))


@pytest.mark.fault("O8")
def test_a_demo_world_is_made_on_a_given_database_only_if_asked_for() -> None:
    code = "from config import settings; print(settings.DEMO_WORLD)"
    given = {"PATH": os.environ["PATH"], "DATABASE_URL": ENVIRONMENT["DATABASE_URL"]}
    for more, expected in ({}, "False"), ({"DEMO_WORLD": "on"}, "True"):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=BASE_DIR, env=given | more, capture_output=True, text=True)
        assert done.stdout.strip() == expected, done.stderr


@pytest.mark.fault("O4")
def test_an_error_never_contains_the_secret() -> None:
    refused = start(STRIPE_SECRET_KEY="pk_live_51NeverShown", SECRET_KEY="tooshort-never-shown")
    assert refused.returncode != 0
    assert "NeverShown" not in refused.stderr and "never-shown" not in refused.stderr
