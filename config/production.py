"""What an installation refuses to start with.

Invariants: the environment is a known one; in production mode nothing stands on a development default. Every
fault is named with its setting, all of them at once, so that a deployment is mended in one go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

DEVELOPMENT_SECRET_KEY = "development-only-not-a-secret"  # noqa: S105 - refused in production
SHORTEST_SECRET = 50
ENVIRONMENTS = ("development", "production")
LIVE_PREFIXES = ("sk_live_", "rk_live_")
STRIPE_API = "https://api.stripe.com"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The settings that decide whether starting is safe, as the environment gave them."""

    environment: str
    sandbox: bool
    debug: bool
    secret_key: str
    allowed_hosts: tuple[str, ...]
    site_url: str
    stripe_secret_key: str
    stripe_api_base: str
    stripe_webhook_secrets: tuple[str, ...]
    given: frozenset[str]  # names of the environment variables that are set and not empty

    @property
    def production(self) -> bool:
        return self.environment == "production"


def refuse(facts: Facts) -> None:
    """Raise ImproperlyConfigured, naming every setting at fault; return quietly when there is none."""
    # Which checks apply depends on the environment, so an unknown one is the only fault that is named.
    faults = _environment_faults(facts) or _sandbox_faults(facts)
    if facts.production:
        faults += _secret_faults(facts) + _address_faults(facts) + _missing_faults(facts)
    if faults:
        raise ImproperlyConfigured(
            "Refill does not start, because of "
            + ("this setting:" if len(faults) == 1 else "these settings:")
            + "".join(f"\n  - {fault}" for fault in faults)
            + "\nEvery variable is described in docs/runbook.md."
        )


def given_in(environment: Mapping[str, str]) -> frozenset[str]:
    """Names of the variables that are set to something."""
    return frozenset(name for name, value in environment.items() if value.strip())


def _environment_faults(facts: Facts) -> list[str]:
    if facts.environment in ENVIRONMENTS:
        return []
    valid = " or ".join(f"“{name}”" for name in ENVIRONMENTS)
    return [f"REFILL_ENV must be {valid}, not “{facts.environment}”"]


def _sandbox_faults(facts: Facts) -> list[str]:
    faults = []
    live = facts.stripe_secret_key.startswith(LIVE_PREFIXES)
    if facts.sandbox and live:
        faults.append("STRIPE_SECRET_KEY is a live key while SANDBOX is on: take one of them away")
    if facts.sandbox and facts.production:
        faults.append("SANDBOX is on in production: its cards are play money, unset SANDBOX")
    if live and facts.stripe_api_base != STRIPE_API:
        faults.append(f"STRIPE_API_BASE must be {STRIPE_API} beside a live STRIPE_SECRET_KEY")
    return faults


def _secret_faults(facts: Facts) -> list[str]:
    faults = []
    if "SECRET_KEY" not in facts.given:
        faults.append("SECRET_KEY is missing: set it to 50 or more random characters")
    elif facts.secret_key == DEVELOPMENT_SECRET_KEY or len(facts.secret_key) < SHORTEST_SECRET:
        faults.append(
            f"SECRET_KEY is the default or shorter than {SHORTEST_SECRET} characters: draw a new one"
        )
    if not facts.stripe_secret_key:
        faults.append("STRIPE_SECRET_KEY is missing: take it from the Stripe dashboard, Developers, API keys")
    elif not facts.stripe_secret_key.startswith(("sk_", "rk_")):
        faults.append("STRIPE_SECRET_KEY is no secret key: it begins with sk_ or rk_")
    if not facts.stripe_webhook_secrets:
        faults.append("STRIPE_WEBHOOK_SECRETS is missing: the whsec_ secret of this site's webhook endpoint")
    elif not all(s.startswith("whsec_") and len(s) > 20 for s in facts.stripe_webhook_secrets):
        faults.append("STRIPE_WEBHOOK_SECRETS has an entry that is no whsec_ secret of Stripe's")
    return faults


def _address_faults(facts: Facts) -> list[str]:
    faults = []
    if facts.debug:
        faults.append("DEBUG is on: it shows secrets to visitors, unset it")
    if "ALLOWED_HOSTS" not in facts.given:
        faults.append("ALLOWED_HOSTS is missing: the host names of this site, separated by commas")
    elif "*" in facts.allowed_hosts:
        faults.append("ALLOWED_HOSTS admits any host (*): name the hosts of this site")
    address = urlsplit(facts.site_url)
    if "SITE_URL" not in facts.given:
        faults.append("SITE_URL is missing: the address people use, such as https://credits.example.org")
    elif address.scheme != "https" or not address.hostname:
        faults.append("SITE_URL must begin with https:// and name a host")
    return faults


def _missing_faults(facts: Facts) -> list[str]:
    wanted = {
        "DATABASE_URL": "postgres://user:password@host:5432/name, PostgreSQL 15 or newer",
        "EMAIL_URL": "smtp+tls://user:password@host:587",
    }
    return [f"{name} is missing: {form}" for name, form in wanted.items() if name not in facts.given]
