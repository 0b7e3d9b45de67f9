"""How things look to a client. Plain functions from rows and results to JSON; api.md fixes the names."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.models import Account, ApiKey, Project, ProviderKey, User
from billing import ledger
from billing.models import Charge, Correction, Entry, Grant, Hold
from core import ids
from core.amounts import plain
from core.fields import instant, instant_or_none
from usage.charging import Use


def public(model: Any, value: UUID | None) -> str | None:
    """The public id of a row of that model; None stays None."""
    return None if value is None else ids.public_id(prefix=model.PREFIX, value=value)


def drawn(parts: Iterable[ledger.Drawn | Mapping[str, str]]) -> list[dict[str, str]]:
    """Which grants paid, in order: as the ledger answers, or as it stored them."""
    return [
        _part(part.grant, part.kind, part.credits)
        if isinstance(part, ledger.Drawn)
        else _part(UUID(part["grant"]), part["kind"], Decimal(part["credits"]))
        for part in parts
    ]


def _part(grant_id: UUID, kind: str, credits: Decimal) -> dict[str, str]:
    return {
        "grant": ids.public_id(prefix=Grant.PREFIX, value=grant_id),
        "kind": kind,
        "credits": plain(credits),
    }


def new_charge(of: Use | Hold, charged: ledger.Charged) -> dict[str, Any]:
    """A charge as its POST answers: the moment of charging, whatever became of it since."""
    return _charge(
        of,
        charged.detail,
        id=public(Charge, charged.charge_id),
        status="charged",
        credits=plain(charged.credits),
        created_at=instant(charged.created_at),
        covered_by=charged.covered_by or charged.detail.get("covered_by"),
        uncollected=plain(charged.uncollected),
        returned="0",
        drawn=drawn(charged.drawn),
        balance_before=plain(charged.balance_before),
        balance_after=plain(charged.balance_after),
        hold=of.public_id if isinstance(of, Hold) else None,
    )


def charge(row: Charge, *, first_answer: bool = False) -> dict[str, Any]:
    """A charge as it stands now, or (`first_answer`) as its POST answered."""
    return _charge(
        row,
        row.detail,
        id=row.public_id,
        status="charged" if first_answer else row.status,
        credits=plain(row.credits),
        created_at=instant(row.created_at),
        covered_by=row.covered_by or row.detail.get("covered_by"),
        uncollected=plain(row.uncollected),
        returned="0" if first_answer else plain(row.returned),
        drawn=drawn(row.drawn),
        balance_before=plain(row.balance_before),
        balance_after=plain(row.balance_after),
        hold=public(Hold, row.hold_id),
    )


def _charge(of: Use | Charge | Hold, detail: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "id": facts.pop("id"),
        "status": facts.pop("status"),
        "account": public(Account, of.account_id),
        "service": of.service,
        "action": of.action or None,
        **facts,
        "lines": detail["lines"],
        "rate": detail["rate"],
        "usage": detail["usage"],
        "options": detail["options"],
        "metadata": detail["metadata"],
        "project": public(Project, of.project_id),
        "conversation": of.conversation or None,
        "member": public(User, of.member_id),
        "api_key": public(ApiKey, of.api_key_id),
    }


def hold(row: Hold, *, first_answer: bool = False) -> dict[str, Any]:
    """A hold as it stands now, or (`first_answer`) as its POST answered."""
    return {
        "id": row.public_id,
        "status": Hold.Status.HELD if first_answer else row.status,
        "account": public(Account, row.account_id),
        "service": row.service,
        "action": row.action or None,
        "credits": plain(row.credits),
        "created_at": instant(row.created_at),
        "expires_at": instant(row.expires_at),
        "closed_at": None if first_answer else instant_or_none(row.closed_at),
        "charge": None if first_answer else public(Charge, row.charge_id),
        "lines": row.detail["lines"],
        "rate": row.detail["rate"],
        "usage": row.detail["usage"],
        "options": row.detail["options"],
        "metadata": row.detail["metadata"],
        "drawn": drawn(row.drawn),
        "project": public(Project, row.project_id),
        "conversation": row.conversation or None,
        "member": public(User, row.member_id),
    }


def new_hold(use: Use, held: ledger.Held) -> dict[str, Any]:
    """A hold as its POST answers: held, whatever became of it since."""
    return {
        "id": public(Hold, held.hold_id),
        "status": Hold.Status.HELD,
        "account": public(Account, use.account_id),
        "service": use.service,
        "action": use.action or None,
        "credits": plain(held.credits),
        "created_at": instant(held.created_at),
        "expires_at": instant(held.expires_at),
        "closed_at": None,
        "charge": None,
        "lines": held.detail["lines"],
        "rate": held.detail["rate"],
        "usage": held.detail["usage"],
        "options": held.detail["options"],
        "metadata": held.detail["metadata"],
        "drawn": drawn(held.drawn),
        "project": public(Project, use.project_id),
        "conversation": use.conversation or None,
        "member": public(User, use.member_id),
    }


def grant(row: Grant) -> dict[str, Any]:
    """Any grant of an account, the spent and expired ones included."""
    return {
        "id": row.public_id,
        "kind": row.kind,
        "label": row.label,
        "granted": plain(row.credits),
        "remaining": plain(row.remaining),
        "held": plain(row.held),
        "expires_at": instant_or_none(row.expires_at),
        "services": row.services,
        "reason": row.reason,
        "created_at": instant(row.created_at),
    }


def entry(row: Entry) -> dict[str, Any]:
    """A ledger entry: credits into a grant (positive) or out of it (negative)."""
    return {
        "id": row.public_id,
        "kind": row.kind,
        "grant": public(Grant, row.grant_id),
        "credits": plain(row.credits),
        "grant_after": plain(row.grant_after),
        "balance_after": plain(row.balance_after),
        "charge": public(Charge, row.charge_id),
        "hold": public(Hold, row.hold_id),
        "reason": row.reason,
        "actor": row.actor,
        "created_at": instant(row.created_at),
    }


def account(row: Account) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "external_id": row.external_id,
        "name": row.name,
        "kind": row.kind,
        "zone": row.zone,
        "created_at": instant(row.created_at),
    }


def project(row: Project) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "name": row.name,
        "daily_limit": None if row.daily_limit is None else plain(row.daily_limit),
        "archived": row.archived_at is not None,
        "created_at": instant(row.created_at),
    }


def provider_key(row: ProviderKey) -> dict[str, Any]:
    """Never the key itself."""
    return {
        "id": row.public_id,
        "provider": row.provider,
        "last_four": row.last_four,
        "created_at": instant(row.created_at),
    }


def reversal(of: Charge, done: ledger.Corrected, reason: str) -> dict[str, Any]:
    """What came back of a charge, and into which grants."""
    return {
        "id": public(Correction, done.correction_id),
        "charge": of.public_id,
        "credits": plain(done.credits),
        "returned_to": [
            {"grant": public(Grant, UUID(part["grant"])), "credits": plain(Decimal(part["credits"]))}
            for part in done.detail
        ],
        "reason": reason,
        "balance_after": plain(done.balance_after),
        "created_at": instant(done.created_at),
    }
