"""Using a service: what it would cost, charging it, holding credits for it, giving them back.

Invariants: the price is the catalogue's (or the version that an estimate or a hold pinned), never the
caller's; lines, rate and quantities are stored with the charge and nothing is recomputed later; a key that
was answered once is answered the same again even when the service, its price or the project are gone since.

Errors are those of the parts: pricing (UnknownService, ServiceUnpriced, UsageInvalid), coverage
(OwnKeyMissing), billing.ledger (InsufficientCredits, LimitReached, QuotaReached, KeyReused, HoldClosed …).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.models import Account
from billing import ledger
from billing.models import Charge, Hold
from core import ids
from core.amounts import plain
from core.fields import instant
from pricing import estimates
from pricing.catalogue import cache as catalogue_cache
from pricing.rates import lookup
from pricing.rates.quotes import Quote
from usage import entitlements


@dataclass(frozen=True, slots=True)
class Use:
    """A use as it was reported, with its account and whom it is attributed to."""

    account_id: UUID
    service: str
    usage: Mapping[str, Any] = field(default_factory=dict)
    action: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    project_id: UUID | None = None
    member_id: UUID | None = None
    api_key_id: UUID | None = None
    conversation: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    own_key: bool = False
    estimate: str = ""

    @property
    def subject(self) -> str:
        """Whom an estimate binds itself to."""
        return ids.public_id(prefix=Account.PREFIX, value=self.account_id)


def estimate(use: Use, *, text: str | None, now: datetime) -> estimates.Estimate:
    """What the use would cost; changes nothing. With `text`, missing token counts are estimated from it."""
    return estimates.estimate(
        service=use.service,
        subject=use.subject,
        now=now,
        usage=use.usage or None,
        text=text,
        action=use.action,
        options=use.options,
    )


def charge(use: Use, *, key: str, fingerprint: bytes, now: datetime) -> ledger.Charged:
    """Charge a use that has happened, once for its key."""
    return ledger.charge(order_of(use, key=key, fingerprint=fingerprint, now=now), now)


def charge_batch(
    orders: Sequence[ledger.ChargeRequest], now: datetime
) -> list[ledger.Charged | ledger.LedgerError]:
    """Charge up to 1,000 orders, each accepted or refused on its own, in their order."""
    return ledger.charge_many(list(orders), now)


def order_of(use: Use, *, key: str, fingerprint: bytes, now: datetime) -> ledger.ChargeRequest:
    """The ledger's order for a use: priced, covered, attributed."""
    quote = quote_of(use, now)
    covered = entitlements.covered_by(
        account_id=use.account_id, service=use.service, action=use.action, own_key=use.own_key
    )
    return ledger.ChargeRequest(
        account_id=use.account_id,
        credits=Decimal(0) if covered else quote.credits,
        key=key,
        service=use.service,
        covers=quote.covers,
        fingerprint=fingerprint,
        action=use.action,
        project_id=use.project_id,
        member_id=use.member_id,
        api_key_id=use.api_key_id,
        conversation=use.conversation,
        covered_by=covered,
        quota=quote.counts,
        detail=detail_of(use, quote),
    )


def quote_of(use: Use, now: datetime) -> Quote:
    """The price of a use, by the version its estimate pinned or by the card in force."""
    return lookup.price_use(
        service=use.service,
        usage=use.usage,
        now=now,
        action=use.action,
        options=use.options,
        rate_version=_pinned_version(use, now),
    )


def _pinned_version(use: Use, now: datetime) -> str | None:
    """The rate version that the use's estimate keeps; None without one."""
    if not use.estimate:
        return None
    return estimates.pinned_version(
        use.estimate, service=use.service, action=use.action, subject=use.subject, now=now
    )


def detail_of(use: Use, quote: Quote) -> dict[str, Any]:
    """What is stored with a charge so that it explains itself for good."""
    return {
        "lines": quote.lines_as_json(),
        "rate": quote.rate_as_json(),
        "usage": stored_usage(use.usage),
        "options": dict(use.options),
        "metadata": dict(use.metadata),
    }


def stored_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities as JSON keeps them exactly: whole numbers as numbers, fractions as text."""
    return {
        meter: plain(amount) if isinstance(amount, Decimal) else amount for meter, amount in usage.items()
    }


def hold(
    use: Use,
    *,
    credits: Decimal | None,
    expires_in: timedelta,
    key: str,
    fingerprint: bytes,
    now: datetime,
) -> ledger.Held:
    """Set credits aside for a use of unknown size: `credits`, or the price of the largest expected usage."""
    rate, covers, lines, counts = _terms_of_hold(use, credits, now)
    covered = entitlements.covered_by(
        account_id=use.account_id, service=use.service, action=use.action, own_key=use.own_key
    )
    amount = credits if credits is not None else sum((Decimal(line["credits"]) for line in lines), Decimal(0))
    order = ledger.ChargeRequest(
        account_id=use.account_id,
        credits=Decimal(0) if covered else amount,
        key=key,
        service=use.service,
        covers=covers,
        fingerprint=fingerprint,
        action=use.action,
        project_id=use.project_id,
        member_id=use.member_id,
        api_key_id=use.api_key_id,
        conversation=use.conversation,
        quota=counts,
        detail={
            "lines": lines,
            "rate": rate,
            "usage": stored_usage(use.usage),
            "options": dict(use.options),
            "metadata": dict(use.metadata),
            "covered_by": covered,
        },
    )
    return ledger.hold(order, expires_at=now + expires_in, now=now)


def _terms_of_hold(
    use: Use, credits: Decimal | None, now: datetime
) -> tuple[dict[str, str], tuple[str, ...], list[dict[str, Any]], tuple[str, int] | None]:
    """The rate that the hold pins, what may pay for it, the lines behind its amount, the quota it takes."""
    if credits is None:
        quote = quote_of(use, now)
        return quote.rate_as_json(), quote.covers, quote.lines_as_json(), quote.counts
    known = catalogue_cache.current()
    rate = lookup.rate_in_force(use.service, now)
    covers = known.services[use.service].covers
    quota = (use.action and known.services[use.action].quota) or known.services[use.service].quota
    counts = (quota, 1) if quota else None
    if use.action:
        lookup.rate_in_force(use.action, now)
        covers = (*covers, *known.services[use.action].covers)
    version = _pinned_version(use, now)
    card = known.card_of_version(version) if version else None
    effective_at = card.effective_at if card else rate.effective_at
    return {"version": version or rate.version, "effective_at": instant(effective_at)}, covers, [], counts


def capture(
    held: Hold,
    *,
    usage: Mapping[str, Any] | None,
    credits: Decimal | None,
    options: Mapping[str, Any] | None,
    metadata: Mapping[str, Any] | None,
    key: str,
    fingerprint: bytes,
    now: datetime,
) -> ledger.Charged:
    """Settle a hold with the real usage, priced by the version of the hold (or with a plain amount).

    More than was held draws the rest from the balance; what that lacks is `uncollected` on the charge.
    """
    detail = dict(held.detail)
    covered = detail.pop("covered_by", None)
    detail["metadata"] = detail.get("metadata", {}) | dict(metadata or {})
    counts = None
    if usage is not None:
        chosen = dict(options) if options is not None else detail["options"]
        quote = lookup.price_use(
            service=held.service,
            usage=usage,
            now=now,
            action=held.action,
            options=chosen,
            rate_version=detail["rate"]["version"],
        )
        credits, counts = quote.credits, quote.counts
        detail |= {"lines": quote.lines_as_json(), "usage": stored_usage(usage), "options": chosen}
    assert credits is not None, "a capture names usage or credits"
    return ledger.capture(
        account_id=held.account_id,
        hold_id=held.pk,
        credits=Decimal(0) if covered else credits,
        key=key,
        detail=detail,
        now=now,
        fingerprint=fingerprint,
        covered_by=covered,
        quota=counts,
    )


def answered(account_id: UUID, key: str) -> Charge | None:
    """The charge that a key made, for a request that no longer passes what stands before the ledger."""
    return Charge.objects.filter(account_id=account_id, idempotency_key=key).first()


def held_before(account_id: UUID, key: str) -> Hold | None:
    """The hold that a key made (see `answered`)."""
    return Hold.objects.filter(account_id=account_id, idempotency_key=key).first()
