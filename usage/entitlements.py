"""Uses that cost no credits: unlimited services of the account's plan, and uses paid with its provider key.

Invariants: a plan whose payment is overdue covers no service; a provider key covers only services of its
provider; a covered use is recorded as a charge of zero credits.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import ProviderKey
from billing.subscriptions import plan_terms
from core.errors import Refusal
from pricing import lookup
from pricing.catalogue import cache as catalogue_cache

UNLIMITED, OWN_KEY = "unlimited", "own_key"


class OwnKeyMissing(Refusal):
    """The use was reported with `own_key`, and the account has no key of the service's providers (409)."""

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
    """The services that are unlimited in the account's plan."""
    return plan_terms.get(account_id).unlimited_services


def covered_by(*, account_id: UUID, service: str, action: str, own_key: bool, now: datetime) -> str | None:
    """UNLIMITED or OWN_KEY for a use that costs no credits, else None. Raises OwnKeyMissing."""
    if own_key:
        _require_own_key(account_id, service)
        return OWN_KEY
    covered = priced_service(service, action, now) in unlimited_services(account_id)
    return UNLIMITED if covered else None


def priced_service(service: str, action: str, now: datetime) -> str:
    """The service that the plan must cover: the action, unless the action is priced by its model."""
    if not action:
        return service
    catalogue = catalogue_cache.current()
    card = catalogue.card_at(now)
    rate = catalogue.rates(card).get(action) if card else None
    return service if rate is not None and rate.cost_of_model else action


def _require_own_key(account_id: UUID, service: str) -> None:
    facts, _action = lookup.facts_of(service, "")
    if not ProviderKey.objects.filter(account_id=account_id, provider__in=facts.providers).exists():
        raise OwnKeyMissing(_provider_names(facts.providers))


def _provider_names(providers: Sequence[str]) -> str:
    names = {provider.key: provider.name for provider in catalogue_cache.current().policies.providers}
    return ", ".join(names.get(key, key) for key in providers)
