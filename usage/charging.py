"""Estimating, charging and holding credits for uses of services.

Invariants: the price comes from the rate card in force, or from the rate version that an estimate or a hold
pinned, never from the caller; lines, rate and quantities are stored with the charge and never recomputed; an
idempotency key keeps its result even when the service, its rate or the project no longer exists.

Functions raise the errors of the modules they call: pricing (UnknownService, ServiceUnpriced, UsageInvalid),
entitlements (OwnKeyMissing) and billing.ledger (InsufficientCredits, LimitReached, QuotaReached, KeyReused,
HoldClosed …).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from accounts.models import Account
from billing import ledger
from billing.models import Charge, Hold
from core import ids
from core.amounts import plain
from core.fields import instant
from pricing import estimates, lookup
from pricing.catalogue import cache as catalogue_cache
from pricing.rates.quotes import Line, Quote, RateVersion
from usage import entitlements
from usage.charges.stored_detail import Detail, restored, stored


@dataclass(frozen=True, slots=True)
class Use:
    """A reported use of a service, with its account and attribution."""

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
        """The account's public id, which estimates are bound to."""
        return ids.public_id(prefix=Account.PREFIX, value=self.account_id)


def estimate(use: Use, *, text: str | None, now: datetime) -> estimates.Estimate:
    """The credits that the use would cost. Missing token counts are estimated from `text` if given."""
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
    """Charge a use that has happened, once per idempotency key."""
    return ledger.charge(charge_request(use, key=key, fingerprint=fingerprint, now=now), now)


def charge_batch(
    requests: Sequence[ledger.ChargeRequest], now: datetime
) -> list[ledger.Charged | ledger.LedgerError]:
    """Charge up to 1,000 requests in order. Each succeeds or fails on its own."""
    return ledger.charge_many(list(requests), now)


def charge_request(use: Use, *, key: str, fingerprint: bytes, now: datetime) -> ledger.ChargeRequest:
    """The ledger's request for a use, with its price, coverage and attribution."""
    quote = quote_of(use, now)
    covered = entitlements.covered_by(
        account_id=use.account_id, service=use.service, action=use.action, own_key=use.own_key, now=now
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
        detail=stored(_detail(use, lines=quote.lines_as_json(), rate=quote.rate_as_json())),
    )


def quote_of(use: Use, now: datetime) -> Quote:
    """The price of a use, by the rate version that its estimate pinned or by the rate card in force."""
    return lookup.price_use(
        service=use.service,
        usage=use.usage,
        now=now,
        action=use.action,
        options=use.options,
        rate_version=_pinned_version(use, now),
    )


def _pinned_version(use: Use, now: datetime) -> str | None:
    """The rate version that the use's estimate pinned; None without an estimate."""
    if not use.estimate:
        return None
    return estimates.pinned_version(
        use.estimate, service=use.service, action=use.action, subject=use.subject, now=now
    )


def _detail(use: Use, *, lines: list[Line], rate: RateVersion) -> Detail:
    """The figures stored with a charge or hold, from which its price can be explained later."""
    return {
        "lines": lines,
        "rate": rate,
        "usage": _stored_usage(use.usage),
        "options": dict(use.options),
        "metadata": dict(use.metadata),
    }


def _stored_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities for JSON, without loss: whole numbers as numbers, fractions as text."""
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
    parent: UUID | None = None,
) -> ledger.Held:
    """Hold credits for a use of unknown size: `credits`, or the price of the largest expected usage.

    `parent`: the hold of the same account to reserve from, instead of the balance.
    """
    terms = _hold_terms(use, credits, now)
    covered = entitlements.covered_by(
        account_id=use.account_id, service=use.service, action=use.action, own_key=use.own_key, now=now
    )
    amount = credits
    if amount is None:
        amount = sum((Decimal(line["credits"]) for line in terms.lines), Decimal(0))
    detail = stored(_detail(use, lines=terms.lines, rate=terms.rate))
    if covered:
        detail["covered_by"] = covered
    request = ledger.ChargeRequest(
        account_id=use.account_id,
        credits=Decimal(0) if covered else amount,
        key=key,
        service=use.service,
        covers=terms.covers,
        fingerprint=fingerprint,
        action=use.action,
        project_id=use.project_id,
        member_id=use.member_id,
        api_key_id=use.api_key_id,
        conversation=use.conversation,
        quota=terms.quota,
        detail=detail,
    )
    most = catalogue_cache.current().policies.running_holds
    return ledger.hold(
        request,
        expires_at=now + expires_in,
        now=now,
        most_running=most,
        parent=parent,
        at_expiry=lookup.at_expiry_of(*lookup.facts_of(use.service, use.action)),
    )


def within(use: Use, parent: Hold) -> Use:
    """The use of a child hold: where it names no project, conversation or member, those of its parent."""
    return replace(
        use,
        project_id=use.project_id or parent.project_id,
        member_id=use.member_id or parent.member_id,
        conversation=use.conversation or parent.conversation,
    )


class _HoldTerms(NamedTuple):
    """The rate that a hold pins, the scopes of grants that may pay, its price lines, and quota with count."""

    rate: RateVersion
    covers: tuple[str, ...]
    lines: list[Line]
    quota: tuple[str, int] | None


def _hold_terms(use: Use, credits: Decimal | None, now: datetime) -> _HoldTerms:
    """The terms of a hold. A hold of given `credits` has no lines and counts one use of the quota."""
    if credits is None:
        quote = quote_of(use, now)
        return _HoldTerms(quote.rate_as_json(), quote.covers, quote.lines_as_json(), quote.counts)
    facts, doing = lookup.facts_of(use.service, use.action)
    rate = lookup.rate_in_force(use.service, now)
    if doing is not None:
        lookup.rate_in_force(doing.key, now)
    quota = (doing and doing.quota) or facts.quota
    version = _pinned_version(use, now)
    card = catalogue_cache.current().card_of_version(version) if version else None
    effective_at = card.effective_at if card else rate.effective_at
    pinned_rate: RateVersion = {"version": version or rate.version, "effective_at": instant(effective_at)}
    return _HoldTerms(pinned_rate, lookup.covers_of(facts, doing), [], (quota, 1) if quota else None)


def capture(
    hold: Hold,
    *,
    usage: Mapping[str, Any] | None,
    credits: Decimal | None,
    options: Mapping[str, Any] | None,
    metadata: Mapping[str, Any] | None,
    key: str,
    fingerprint: bytes,
    now: datetime,
) -> ledger.Charged:
    """Capture a hold: charge `usage`, priced by the hold's rate version, or the amount `credits`.

    An amount above the hold draws the rest from the balance, in a tree of holds from the holds above; what is
    lacking is `uncollected` on the charge. A usage of zero settles the hold at 0 credits.
    """
    captured = _captured(hold, usage=usage, credits=credits, options=options, metadata=metadata, now=now)
    return ledger.capture(
        account_id=hold.account_id,
        hold_id=hold.pk,
        credits=captured.credits,
        key=key,
        detail=stored(captured.detail),
        now=now,
        fingerprint=fingerprint,
        covered_by=hold.detail.get("covered_by"),
        quota=captured.quota,
    )


def report_usage(
    hold: Hold,
    *,
    usage: Mapping[str, Any],
    options: Mapping[str, Any] | None,
    metadata: Mapping[str, Any] | None,
    now: datetime,
) -> ledger.Held:
    """Store what a running hold has used so far, priced as a capture would be.

    It is charged at the end of the hold if nobody captures it and its service says so (`at_expiry`).
    """
    captured = _captured(hold, usage=usage, credits=None, options=options, metadata=metadata, now=now)
    return ledger.report_usage(
        account_id=hold.account_id,
        hold_id=hold.pk,
        credits=captured.credits,
        detail=stored(captured.detail),
        quota_count=captured.quota[1] if captured.quota and hold.quota else None,
        now=now,
    )


class _Captured(NamedTuple):
    """What a capture charges: the credits, their detail, and the quota with its count."""

    credits: Decimal
    detail: Detail
    quota: tuple[str, int] | None


def _captured(
    hold: Hold,
    *,
    usage: Mapping[str, Any] | None,
    credits: Decimal | None,
    options: Mapping[str, Any] | None,
    metadata: Mapping[str, Any] | None,
    now: datetime,
) -> _Captured:
    detail = restored(hold.detail)
    detail["metadata"] = detail["metadata"] | dict(metadata or {})
    quota = None
    if usage is not None:
        used_options = dict(options) if options is not None else detail["options"]
        quote = lookup.price_use(
            service=hold.service,
            usage=usage,
            now=now,
            action=hold.action,
            options=used_options,
            rate_version=detail["rate"]["version"],
            zero_allowed=True,
        )
        credits, quota = quote.credits, quote.counts
        detail["lines"], detail["usage"] = quote.lines_as_json(), _stored_usage(usage)
        detail["options"] = used_options
    assert credits is not None, "a capture names usage or credits"
    return _Captured(Decimal(0) if hold.detail.get("covered_by") else credits, detail, quota)


def charge_by_key(account_id: UUID, key: str) -> Charge | None:
    """The charge made with an idempotency key.

    For a repeated request that no longer passes validation, because its service or project is gone.
    """
    return Charge.objects.filter(account_id=account_id, idempotency_key=key).first()


def hold_by_key(account_id: UUID, key: str) -> Hold | None:
    """The hold made with an idempotency key (see `charge_by_key`)."""
    return Hold.objects.filter(account_id=account_id, idempotency_key=key).first()
