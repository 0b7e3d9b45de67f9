"""Endpoints of what an account spends: uses, holds, balances, projects. Each function returns a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack

from refill_client._calls import (
    JSON,
    Call,
    Page,
    delete,
    get,
    get_page,
    new_key,
    path,
    post,
    post_once,
    reader,
)
from refill_client._decoding import (
    UNCHANGED,
    Amount,
    Unchanged,
    amount,
    amount_or_none,
    changed,
    decode,
    given,
)
from refill_client.errors import of_problem
from refill_client.models import (
    AnyGrant,
    Balance,
    BatchItem,
    Charge,
    Estimate,
    Hold,
    OpenHold,
    Project,
    ProviderKey,
    Refusals,
    Report,
    Reversal,
    Service,
    Transaction,
    UsageReport,
)
from refill_client.usage import Usage, is_sdk_object, usage_of, without_cached

T = TypeVar("T")


class UseFields(TypedDict, total=False):
    """What a use may name beside its service and usage."""

    account: str
    """For platform keys: id or external id."""
    action: str
    options: Mapping[str, Any]
    project: str
    conversation: str
    member: str
    metadata: Mapping[str, Any]
    own_key: bool
    """The use was paid with the account's own provider key."""


class ChargeFields(UseFields, total=False):
    """What a charge or a hold may name besides."""

    estimate: str
    """Id of an estimate: the use is priced by its rate version."""


class Use(ChargeFields, total=False):
    """One use of a batch: `service` and `usage`, and an `idempotency_key` unless a new one is to be made."""

    service: str
    usage: Usage
    idempotency_key: str


def balance(*, account: str | None = None) -> Call[Balance]:
    """What the account can spend now, and the grants in the order in which they will be spent."""
    return get("/balance", Balance, account=account)


def grants(*, account: str | None = None, limit: int | None = None) -> Call[Page[AnyGrant]]:
    """Every grant, newest first; spent and expired ones included."""
    return get_page("/grants", AnyGrant, account=account, limit=limit)


def transactions(
    *,
    account: str | None = None,
    kind: str | None = None,
    grant: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    limit: int | None = None,
) -> Call[Page[Transaction]]:
    """Ledger entries, newest first. `from_` is included, `to` excluded."""
    filters = {"kind": kind, "grant": grant, "from": from_, "to": to}
    return get_page("/transactions", Transaction, account=account, limit=limit, **filters)


def services(
    *,
    account: str | None = None,
    kind: str | None = None,
    modality: str | None = None,
    tag: str | None = None,
    tier: str | None = None,
    limit: int | None = None,
) -> Call[Page[Service]]:
    """What can be charged, with its price."""
    filters = {"kind": kind, "modality": modality, "tag": tag, "tier": tier}
    return get_page("/services", Service, account=account, limit=limit, **filters)


def service(key: str, *, account: str | None = None) -> Call[Service]:
    """One service and its price."""
    return get(path("services", key), Service, account=account)


def estimate(
    service: str, usage: Usage | None = None, *, text: str | None = None, **use: Unpack[UseFields]
) -> Call[Estimate]:
    """What a use would cost; changes nothing. Give `usage`, or a `text` whose tokens are estimated."""
    body = given({"service": service, "text": text, **use})
    return _with_usage(post("/estimates", Estimate, body, repeatable=True), usage)


def charge(
    service: str, usage: Usage, *, idempotency_key: str | None = None, **use: Unpack[ChargeFields]
) -> Call[Charge]:
    """Charge a use that has happened. Raises InsufficientCredits, LimitReached, QuotaReached."""
    return _with_usage(post_once("/charges", Charge, {"service": service, **use}, idempotency_key), usage)


def charge_batch(uses: Iterable[Use], *, account: str | None = None) -> Call[list[BatchItem]]:
    """Charge up to 1,000 uses independently; the outcomes are in the same order.

    SDK usage objects are sent with cached tokens as `cached_input_tokens`.
    """
    items = [_batch_item(use) for use in uses]
    keys = [str(item["idempotency_key"]) for item in items]

    def read(data: Any) -> list[BatchItem]:
        return [
            BatchItem(
                status=item["status"],
                charge=decode(Charge | None, item.get("charge")),
                error=of_problem(item["status"], item["error"]) if item.get("error") else None,
                replayed=item.get("replayed", False),
                idempotency_key=key,
            )
            for key, item in zip(keys, data["data"], strict=True)
        ]

    return Call("POST", "/charges/batch", read, body=given({"data": items, "account": account}))


def _batch_item(use: Use) -> JSON:
    item = given({"idempotency_key": new_key(), **use})
    return item if "usage" not in item else {**item, "usage": usage_of(item["usage"])}


def charges(
    *,
    account: str | None = None,
    service: str | None = None,
    action: str | None = None,
    project: str | None = None,
    conversation: str | None = None,
    member: str | None = None,
    status: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    limit: int | None = None,
) -> Call[Page[Charge]]:
    """Charges, newest first. `from_` is included, `to` excluded."""
    filters = {"service": service, "action": action, "project": project, "conversation": conversation}
    filters |= {"member": member, "status": status}
    return get_page("/charges", Charge, account=account, limit=limit, **filters, **{"from": from_, "to": to})


def get_charge(charge: str, *, account: str | None = None) -> Call[Charge]:
    """One charge."""
    return get(path("charges", charge), Charge, account=account)


def reverse_charge(
    charge: str,
    *,
    credits: Amount | None = None,
    reason: str | None = None,
    account: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Reversal]:
    """Give back `credits` of a charge, or all that is left of it (platform keys with `manage`)."""
    body = {"credits": amount_or_none(credits), "reason": reason, "account": account}
    return post_once(path("charges", charge, "reversals"), Reversal, body, idempotency_key)


def report_charge(charge: str, reason: str, *, account: str | None = None) -> Call[Report]:
    """Report a charge as abnormal."""
    return post(path("charges", charge, "reports"), Report, {"reason": reason, "account": account})


def open_hold(
    service: str,
    maximum: Amount | Mapping[str, Any],
    *,
    expires_in: int | None = None,
    parent: str | None = None,
    idempotency_key: str | None = None,
    **use: Unpack[ChargeFields],
) -> Call[Hold]:
    """Reserve credits. `maximum`: largest expected usage, or an amount of credits. `expires_in`: seconds.

    `parent`: a hold to reserve from, instead of the balance. Raises BudgetExceeded where it has less left.
    """
    body: JSON = {"service": service, "expires_in": expires_in, "parent": parent, **use}
    if isinstance(maximum, Mapping):
        body["usage"] = usage_of(maximum)
    else:
        body["credits"] = amount(maximum)
    return post_once("/holds", Hold, body, idempotency_key)


def holds(*, account: str | None = None, limit: int | None = None) -> Call[Page[OpenHold]]:
    """The account's open holds, newest first."""
    return get_page("/holds", OpenHold, account=account, limit=limit)


def get_hold(hold: str, *, account: str | None = None) -> Call[Hold]:
    """One hold."""
    return get(path("holds", hold), Hold, account=account)


def capture_hold(
    hold: str,
    usage: Usage | None = None,
    *,
    credits: Amount | None = None,
    options: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    account: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Charge]:
    """Settle a hold with the real `usage`, or with `credits`. Raises HoldClosed."""
    body = {"credits": amount_or_none(credits), "options": options, "metadata": metadata, "account": account}
    return _with_usage(post_once(path("holds", hold, "capture"), Charge, body, idempotency_key), usage)


def report_hold_usage(
    hold: str,
    usage: Usage,
    *,
    options: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    account: str | None = None,
) -> Call[Hold]:
    """Report what a hold has used so far, in all; the last report counts. Raises HoldClosed.

    It is charged at the end of the hold if nobody captures it and its `at_expiry` is `capture_reported`.
    """
    body = {"options": options, "metadata": metadata, "account": account}
    return _with_usage(Call("PUT", path("holds", hold, "usage"), reader(Hold), body=given(body)), usage)


def release_hold(hold: str, *, account: str | None = None, idempotency_key: str | None = None) -> Call[Hold]:
    """Drop a hold: its credits become available again. Raises HoldClosed."""
    return post_once(path("holds", hold, "release"), Hold, {"account": account}, idempotency_key)


def usage_report(
    *,
    group_by: str | None = None,
    interval: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    timezone: str | None = None,
    account: str | None = None,
) -> Call[UsageReport]:
    """Sums of charges by service, project, conversation, member or api_key, and by hour, day or month."""
    period = {"from": from_, "to": to, "timezone": timezone}
    return get("/usage", UsageReport, account=account, group_by=group_by, interval=interval, **period)


def refusals(
    *,
    account: str | None = None,
    code: str | None = None,
    api_key: str | None = None,
    limit: int | None = None,
) -> Call[Page[Refusals]]:
    """Refused calls of the last 90 days, counted by hour and reason, newest hours first."""
    return get_page("/refusals", Refusals, account=account, limit=limit, code=code, api_key=api_key)


def projects(*, account: str | None = None, limit: int | None = None) -> Call[Page[Project]]:
    """Projects of the account."""
    return get_page("/projects", Project, account=account, limit=limit)


def create_project(
    name: str, *, daily_limit: Amount | None = None, account: str | None = None
) -> Call[Project]:
    """Add a project; `daily_limit` in credits."""
    body = {"name": name, "daily_limit": amount_or_none(daily_limit), "account": account}
    return post("/projects", Project, body)


def update_project(
    project: str,
    *,
    name: str | None = None,
    daily_limit: Amount | Unchanged | None = UNCHANGED,
    archived: bool | None = None,
    account: str | None = None,
) -> Call[Project]:
    """Change a project; `daily_limit=None` removes its limit."""
    body = given({"name": name, "archived": archived, "account": account})
    body |= changed(daily_limit=daily_limit)
    return Call("PATCH", path("projects", project), reader(Project), body=body)


def provider_keys(*, account: str | None = None, limit: int | None = None) -> Call[Page[ProviderKey]]:
    """The account's own provider keys, without their secrets."""
    return get_page("/provider-keys", ProviderKey, account=account, limit=limit)


def add_provider_key(provider: str, key: str, *, account: str | None = None) -> Call[ProviderKey]:
    """Store a provider key of the account."""
    return post("/provider-keys", ProviderKey, {"provider": provider, "key": key, "account": account})


def delete_provider_key(provider_key: str, *, account: str | None = None) -> Call[None]:
    """Delete a provider key."""
    return delete(path("provider-keys", provider_key), account=account)


def _with_usage(call: Call[T], usage: Usage | None) -> Call[T]:
    """The call with `usage` in its body; usage of an SDK has a fallback without separate cached tokens."""
    if usage is None:
        return call
    counted = usage_of(usage)
    fallback = None
    if is_sdk_object(usage) and "cached_input_tokens" in counted:
        fallback = {**(call.body or {}), "usage": without_cached(counted)}
    return replace(call, body={**(call.body or {}), "usage": counted}, fallback=fallback)
