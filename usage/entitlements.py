"""Uses that cost no credits: services without limit in the account's plan, and calls paid with an own key.

Invariants: a plan whose payment is overdue covers nothing; an own key covers only services that name its
provider; a covered use is recorded like any other.
"""

from collections.abc import Sequence
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import ProviderKey
from billing import selectors
from pricing.catalogue import cache as catalogue_cache
from pricing.rates import lookup

UNLIMITED, OWN_KEY = "unlimited", "own_key"


class OwnKeyMissing(Exception):
    """The use says it was paid with the account's own key, and there is none that could have (409)."""

    code = "provider_key_missing"

    def __init__(self, provider: str) -> None:
        super().__init__(
            _("This account has no provider key for %(provider)s. Add one, or leave out own_key.")
            % {"provider": provider}
            if provider
            else _("This service cannot be used with a provider key. Leave out own_key.")
        )
        self.provider = provider


def unlimited_services(account_id: UUID) -> frozenset[str]:
    """The services that the account's plan covers without limit."""
    return selectors.plan_terms(account_id).unlimited_services


def covered_by(*, account_id: UUID, service: str, action: str, own_key: bool) -> str | None:
    """What pays for a use instead of credits; None: credits do. Raises OwnKeyMissing."""
    if own_key:
        _require_own_key(account_id, service)
        return OWN_KEY
    unlimited = unlimited_services(account_id)
    return UNLIMITED if unlimited and _what_is_priced(service, action) in unlimited else None


def _what_is_priced(service: str, action: str) -> str:
    """An action with a figure of its own is not covered by the model it is done with."""
    if not action:
        return service
    known = catalogue_cache.current()
    newest = known.cards[-1] if known.cards else None
    rate = known.rates(newest).get(action) if newest else None
    return service if rate is not None and rate.cost_of_model else action


def _require_own_key(account_id: UUID, service: str) -> None:
    facts = catalogue_cache.current().services.get(service)
    if facts is None:
        raise lookup.UnknownService(service, "service")
    if not ProviderKey.objects.filter(account_id=account_id, provider__in=facts.providers).exists():
        raise OwnKeyMissing(_names_of(facts.providers))


def _names_of(providers: Sequence[str]) -> str:
    names = {provider.key: provider.name for provider in catalogue_cache.current().policies.providers}
    return ", ".join(names.get(key, key) for key in providers)
