"""Uses that cost no credits: services without limit in the account's plan, and calls paid with an own key.

Invariants: a plan whose payment is overdue covers nothing; an own key covers only services of its provider;
a covered use is recorded like any other.
"""

import uuid
from collections.abc import Mapping
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import ProviderKey
from billing.models import Subscription
from pricing import book, prices
from pricing.models import Plan

UNLIMITED, OWN_KEY = "unlimited", "own_key"


class OwnKeyMissing(Exception):
    """The use says it was paid with the account's own key, and there is none that could have (409)."""

    code = "provider_key_missing"

    def __init__(self, provider: str) -> None:
        super().__init__(
            _("This account has no key of its own for %(provider)s. Store one under provider keys, or leave out own_key.")
            % {"provider": provider}
            if provider
            else _("No provider's own key can pay for this service. Leave out own_key.")
        )
        self.provider = provider


_unlimited: tuple[uuid.UUID | None, Mapping[str, frozenset[str]]] | None = None


def unlimited_services(account_id: UUID) -> frozenset[str]:
    """The services that the account's plan covers without limit."""
    by_plan = _unlimited_by_plan()
    if not any(by_plan.values()):
        return frozenset()
    running = Subscription.objects.filter(account_id=account_id, state=Subscription.State.ACTIVE)
    plan = running.values_list("plan", flat=True).first()
    return by_plan.get(plan or "", frozenset())


def covered_by(*, account_id: UUID, service: str, action: str, own_key: bool) -> str | None:
    """What pays for a use instead of credits; None: credits do. Raises OwnKeyMissing."""
    if own_key:
        _require_own_key(account_id, service)
        return OWN_KEY
    priced = _what_is_priced(service, action)
    # Most services are in no plan without limit: those ask the database nothing.
    if not any(priced in services for services in _unlimited_by_plan().values()):
        return None
    return UNLIMITED if priced in unlimited_services(account_id) else None


def _what_is_priced(service: str, action: str) -> str:
    """An action with a figure of its own is not covered by the model it is done with."""
    if not action:
        return service
    known = book.current()
    newest = known.cards[-1] if known.cards else None
    rate = known.rates(newest).get(action) if newest else None
    return service if rate is not None and rate.cost_of_model else action


def _require_own_key(account_id: UUID, service: str) -> None:
    facts = book.current().services.get(service)
    if facts is None:
        raise prices.UnknownService(service, "service")
    if not facts.provider or not ProviderKey.objects.filter(account_id=account_id, provider=facts.provider).exists():
        raise OwnKeyMissing(facts.provider)


def _unlimited_by_plan() -> Mapping[str, frozenset[str]]:
    """Services without limit by plan, remembered for as long as the catalogue's stamp stands."""
    global _unlimited
    stamp = book.current().stamp
    known = _unlimited
    if known is None or known[0] != stamp:
        rows = Plan.objects.values_list("key", "unlimited_services")
        known = _unlimited = (stamp, {key: frozenset(services) for key, services in rows})
    return known[1]
