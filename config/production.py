"""Checks of the settings at start.

Invariants: the environment is a known one; in production no setting has a development default. All invalid
settings are named in one error, so that a deployment can be corrected in one step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import variables

DEVELOPMENT_SECRET_KEY = "development-only-not-a-secret"  # noqa: S105 - refused in production
SHORTEST_SECRET = 50
SHORTEST_KEY = 32
FEWEST_CHARACTERS = 10  # different ones: 32 random hexadecimal digits nearly always have more
# Caches of one process: heartbeats, sign-in limits and counters would differ from process to process.
LOCAL_CACHES = ("LocMemCache", "DummyCache", "FileBasedCache")
ENVIRONMENTS = ("development", "production")
LIVE_PREFIXES = ("sk_live_", "rk_live_")
STRIPE_API = "https://api.stripe.com"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The settings that are checked, as the environment gave them."""

    environment: str
    sandbox: bool
    debug: bool
    secret_key: str
    allowed_hosts: tuple[str, ...]
    site_url: str
    stripe_secret_key: str
    stripe_api_base: str
    stripe_webhook_secrets: tuple[str, ...]
    demo_world: bool
    cache_backend: str
    keys: Mapping[str, Sequence[str]]  # the other keys, by variable
    given: frozenset[str]  # names of the environment variables that are set and not empty

    @property
    def production(self) -> bool:
        return self.environment == "production"


def refuse(facts: Facts) -> None:
    """Raise ImproperlyConfigured, naming every invalid setting; return when there is none."""
    # Which checks apply depends on the environment, so an unknown one is reported alone.
    unknown = _environment_errors(facts)
    errors = unknown or _name_errors(facts) + _sandbox_errors(facts)
    if facts.production:
        errors += _secret_errors(facts) + _address_errors(facts) + _missing_errors(facts)
    if errors:
        raise ImproperlyConfigured(
            "Refill does not start, because of "
            + ("this setting:" if len(errors) == 1 else "these settings:")
            + "".join(f"\n  - {error}" for error in errors)
            + "\nEvery variable is described in docs/runbook.md."
        )


def _environment_errors(facts: Facts) -> list[str]:
    if facts.environment in ENVIRONMENTS:
        return []
    valid = " or ".join(f"“{name}”" for name in ENVIRONMENTS)
    return [f"REFILL_ENV must be {valid}, not “{facts.environment}”"]


def _name_errors(facts: Facts) -> list[str]:
    return [
        f"{given} is set, and {meant} is not: set {meant}, or unset {given}"
        for given, meant in variables.misspelled(facts.given, production=facts.production)
    ]


def _sandbox_errors(facts: Facts) -> list[str]:
    errors = []
    live = facts.stripe_secret_key.startswith(LIVE_PREFIXES)
    if facts.sandbox and live:
        errors.append("STRIPE_SECRET_KEY is a live key while SANDBOX is on: unset one of them")
    if facts.sandbox and facts.production:
        errors.append("SANDBOX is on in production, where its test cards would buy credits: unset SANDBOX")
    if live and facts.stripe_api_base != STRIPE_API:
        errors.append(f"STRIPE_API_BASE must be {STRIPE_API} beside a live STRIPE_SECRET_KEY")
    if facts.demo_world and facts.production:
        errors.append("DEMO_WORLD is on in production, with a staff user whose password is public: unset it")
    elif facts.demo_world and not facts.sandbox:
        errors.append("DEMO_WORLD needs the sandbox: unset it, or STRIPE_SECRET_KEY")
    return errors


def _secret_errors(facts: Facts) -> list[str]:
    errors = []
    if "SECRET_KEY" not in facts.given:
        errors.append("SECRET_KEY is missing: set it to 50 or more random characters")
    elif facts.secret_key == DEVELOPMENT_SECRET_KEY or _is_weak(facts.secret_key, SHORTEST_SECRET):
        errors.append(
            f"SECRET_KEY is the default, repeats few characters or has under {SHORTEST_SECRET}:"
            " generate a new one"
        )
    for name, keys in facts.keys.items():
        if name in facts.given and (not keys or any(_is_weak(key, SHORTEST_KEY) for key in keys)):
            errors.append(
                f"{name} has an empty or weak key: each has {SHORTEST_KEY} or more random characters"
            )
    if not facts.stripe_secret_key:
        errors.append("STRIPE_SECRET_KEY is missing: take it from the Stripe dashboard, Developers, API keys")
    elif not facts.stripe_secret_key.startswith(("sk_", "rk_")):
        errors.append("STRIPE_SECRET_KEY is not a secret key: those begin with sk_ or rk_")
    if not facts.stripe_webhook_secrets:
        errors.append("STRIPE_WEBHOOK_SECRETS is missing: the whsec_ secret of this site's webhook endpoint")
    elif not all(s.startswith("whsec_") and len(s) > 20 for s in facts.stripe_webhook_secrets):
        errors.append("STRIPE_WEBHOOK_SECRETS has an entry that is not a whsec_ secret of Stripe")
    return errors


def _is_weak(key: str, shortest: int) -> bool:
    return len(key) < shortest or len(set(key)) < FEWEST_CHARACTERS


def _address_errors(facts: Facts) -> list[str]:
    errors = []
    if facts.debug:
        errors.append("DEBUG is on and would show secrets to visitors: unset it")
    if "ALLOWED_HOSTS" not in facts.given:
        errors.append("ALLOWED_HOSTS is missing: the host names of this site, separated by commas")
    elif "*" in facts.allowed_hosts:
        errors.append("ALLOWED_HOSTS allows any host (*): name the hosts of this site")
    address = urlsplit(facts.site_url)
    if "SITE_URL" not in facts.given:
        errors.append("SITE_URL is missing: the address people use, such as https://credits.example.org")
    elif address.scheme != "https" or not address.hostname:
        errors.append("SITE_URL must begin with https:// and name a host")
    return errors


def _missing_errors(facts: Facts) -> list[str]:
    wanted = {
        "DATABASE_URL": "postgres://user:password@host:5432/name, PostgreSQL 15 or newer",
        "EMAIL_URL": "smtp+tls://user:password@host:587",
    }
    errors = [f"{name} is missing: {form}" for name, form in wanted.items() if name not in facts.given]
    if facts.cache_backend.endswith(LOCAL_CACHES):
        errors.append(
            "CACHE_URL is a cache of one process or host: set redis://…, or nothing for the database"
        )
    return errors
