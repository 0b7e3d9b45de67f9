"""The database's rows and the model's objects of an account in one comparable form.

Grants are named by their keys, charges and holds by their ids.
"""

import datetime as dt
import itertools
import json
import uuid
from decimal import Decimal
from typing import Any

from django.db import connection

from billing import ledger
from tests.billing.ledger.limits_model import limit_name
from tests.billing.ledger.periods import NEVER, ZERO, total

TABLES = ("wallet", "grant", "charge", "hold", "limit", "allowance", "correction", "notice")
ENDS = {"expire", "carry_over"}  # kinds of entries


def everything_of(account: Any, after: int) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the account's tables, and its entries after this number, with one query."""
    rows = [f"(select json_agg(x) from billing_{name} x where account_id = %s)::text" for name in TABLES]
    rows.append(
        "(select json_agg(x order by seq) from billing_entry x where account_id = %s and seq > %s)::text"
    )
    with connection.cursor() as cursor:
        cursor.execute("select " + ", ".join(rows), [account] * (len(TABLES) + 1) + [after])
        found = [json.loads(text or "[]", parse_float=Decimal) for text in cursor.fetchone()]
    return dict(zip((*TABLES, "entry"), found, strict=True))


def at(text: str | None) -> dt.datetime:
    return dt.datetime.fromisoformat(text) if text else NEVER


def drawn(use: Any) -> list[dict[str, str]]:
    return [{"grant": str(one.id), "kind": one.kind, "credits": f"{part:.6f}"} for one, part in use.drawn]


def written_grant(row: dict[str, Any]) -> list[Any]:
    names = (
        "credits",
        "remaining",
        "held",
        "spent",
        "open",
        "kind",
        "priority",
        "services",
        "allowance",
        "reason",
    )
    return [*(row[name] for name in names), row["purchase_id"], at(row["created_at"]), at(row["expires_at"])]


def modelled_grant(grant: Any) -> list[Any]:
    figures = [grant.credits, grant.remaining, grant.held, grant.spent - grant.booked, grant.remaining > 0]
    names = [
        grant.kind,
        grant.priority,
        grant.services and list(grant.services),
        grant.allowance,
        grant.reason,
    ]
    return [*figures, *names, grant.purchase and str(grant.purchase), grant.created, grant.expires]


def _use(row: dict[str, Any]) -> list[Any]:
    names = ("project_id", "member_id", "api_key_id", "quota")
    subjects = {
        kind: row[name] for kind, name in zip(("project", "member", "key", "quota"), names, strict=True)
    }
    return [row["drawn"], row["detail"], row["quota_count"] or ZERO, {k: v for k, v in subjects.items() if v}]


def written_charge(row: dict[str, Any]) -> list[Any]:
    figures = [
        row[name] for name in ("credits", "uncollected", "returned", "balance_before", "balance_after")
    ]
    return [*figures, row["covered_by"], row["hold_id"], at(row["created_at"]), *_use(row)]


def modelled_charge(use: Any) -> list[Any]:
    figures = [use.credits, use.credits - total(use.drawn), use.returned, use.before, use.after]
    hold = use.hold and str(use.hold.id)
    return [*figures, use.covered_by, hold, use.made, drawn(use), use.detail, use.count, use.subjects]


def written_hold(row: dict[str, Any]) -> list[Any]:
    times = [row["closed_at"] and at(row["closed_at"]), at(row["expires_at"]), at(row["created_at"])]
    parts = row["reserved"] and [(part["grant"], Decimal(part["credits"])) for part in row["reserved"]]
    tree = [row["parent_id"], row["depth"], row["at_expiry"], parts or [], row["reserved"] is not None]
    reported = row["reported"] and Decimal(row["reported"]["credits"])
    return [row["credits"], row["status"], row["charge_id"], *times, *tree, reported, *_use(row)]


def modelled_hold(use: Any) -> list[Any]:
    charge = use.charge and str(use.charge.id)
    times = [use.closed, use.ends, use.made]
    parts = [(str(grant.id), part) for grant, part in use.parts] if use.is_tree else []
    tree = [use.parent and str(use.parent.id), use.depth, use.at_expiry, parts, use.is_tree]
    reported = use.reported and use.reported["credits"]
    uses = [drawn(use), use.detail, use.count, use.subjects]
    return [use.credits, use.status, charge, *times, *tree, reported, *uses]


def written_correction(row: dict[str, Any], keys: dict[str, str], name_of: dict[str, str]) -> list[Any]:
    lines = [(keys[line["grant"]], Decimal(line["credits"]), Decimal(line["debt"])) for line in row["detail"]]
    undone = name_of.get(row["undone_by_id"], False)
    figures = [row[name] for name in ("credits", "debt", "balance_after", "charge_id", "reason", "actor")]
    return [*figures, at(row["created_at"]), lines, undone]


def modelled_correction(one: Any) -> list[Any]:
    lines = [(grant.key, credits, debt) for grant, credits, debt in one.detail]
    charge = one.charge and str(one.charge.id)
    return [one.credits, one.debt, one.balance_after, charge, *one.why, one.at, lines, one.undone]


def written_entry(row: dict[str, Any], keys: dict[str | None, str | None]) -> list[Any]:
    figures = [
        row["kind"],
        keys[row["grant_id"]],
        row["credits"],
        row["debt"],
        row["charge_id"],
        row["hold_id"],
    ]
    return [*figures, at(row["created_at"]), row["reason"], row["actor"]]


def modelled_entry(one: Any) -> list[Any]:
    ids = [use and str(use.id) for use in (one.charge, one.hold)]
    return [one.kind, one.grant and one.grant.key, one.credits, one.debt, *ids, one.at, *one.why]


def written_limit(row: dict[str, Any]) -> list[Any]:
    return [row["period"], row["maximum"], row["used"], at(row["window_start"]), at(row["window_end"])]


def modelled_limit(one: Any) -> list[Any]:
    return [one.period, one.maximum, one.used, one.begin, one.end]


def written_allowance(row: dict[str, Any]) -> list[Any]:
    figures = [row[name] for name in ("kind", "credits", "period", "lasts", "services", "priority")]
    return [*figures, at(row["anchor_at"]), at(row["next_at"]), at(row["ends_at"])]


def modelled_allowance(one: dict[str, Any]) -> list[Any]:
    figures = [one["kind"], one["credits"], one["period"], one["lasts"]]
    services = one["services"] and list(one["services"])
    return [*figures, services, one["priority"], one["anchor"], one["next"], one["ends"]]


def written_notice(row: dict[str, Any]) -> list[Any]:
    detail = row["detail"]
    return [row["kind"], Decimal(detail["balance"]), Decimal(detail["warn_below"]), at(row["created_at"])]


def settled(book: Any, account: Any, now: dt.datetime) -> dict[str, list[dict[str, Any]]]:
    """The account's rows, settled first where something is due; its entries since the last comparison."""
    seen = getattr(book, "compared", 0)
    found = everything_of(account, seen)
    if at(found["wallet"][0]["next_due_at"]) > now:
        return found
    ledger.settle([account], now)
    return everything_of(account, seen)


def compare(book: Any, account: Any, now: dt.datetime) -> None:
    """Settle the account and assert that its rows are what the model has."""
    seen = getattr(book, "compared", 0)
    found = settled(book, account, now)
    wallet, grants = found["wallet"][0], found["grant"]
    keys: dict[Any, Any] = {row["id"]: row["idempotency_key"] for row in grants} | {None: None}
    ids = {row["idempotency_key"]: row["id"] for row in grants}
    for row in found["charge"]:  # the ledger gives an id to the charge of a hold that nobody captured
        if (use := book.charges.get(row["idempotency_key"])) and use.id is None:
            use.id = uuid.UUID(row["id"])
    assert ids.keys() == {grant.key for grant in book.grants}
    for grant in book.grants:
        grant.id = uuid.UUID(ids[grant.key])
    new_entries = [written_entry(row, keys) for row in found["entry"]]
    assert _ordered(new_entries) == _ordered([modelled_entry(one) for one in book.entries[seen:]])
    book.compared = len(book.entries)
    assert {row["idempotency_key"]: written_grant(row) for row in grants} == {
        one.key: modelled_grant(one) for one in book.grants
    }
    assert {row["idempotency_key"]: written_charge(row) for row in found["charge"]} == {
        key: modelled_charge(one) for key, one in book.charges.items()
    }
    assert {row["idempotency_key"]: written_hold(row) for row in found["hold"]} == {
        key: modelled_hold(one) for key, one in book.holds.items()
    }
    _compare_corrections(book, found["correction"], keys)
    _compare_terms(book, found, now)
    running = [hold for hold in book.holds.values() if hold.status == "held"]
    names = ("balance", "held", "debt", "running_holds", "is_low", "warn_below", "limited")
    expected = [
        book.balance,
        book.held,
        book.debt,
        len(running),
        book.is_low,
        book.warn_below,
        bool(book.limits.windows),
    ]
    assert [wallet[name] for name in names] == expected
    first_due = min(book.dues(), default=NEVER)
    assert now < at(wallet["next_due_at"]) <= first_due, f"due at {wallet['next_due_at']}, not {first_due}"


def _ordered(entries: list[list[Any]]) -> list[list[Any]]:
    """Grants that were created and that end at one instant are in the order of their random ids."""
    ordered: list[list[Any]] = []
    for _, group in itertools.groupby(entries, key=lambda entry: (entry[0] in ENDS, entry[6])):
        members = list(group)
        ordered += sorted(members, key=repr) if members[0][0] in ENDS else members
    return ordered


def _compare_corrections(book: Any, found: list[dict[str, Any]], keys: dict[Any, Any]) -> None:
    name_of = {row["id"]: (row["kind"], row["idempotency_key"]) for row in found}
    assert {
        (row["kind"], row["idempotency_key"]): written_correction(row, keys, name_of) for row in found
    } == {name: modelled_correction(one) for name, one in book.corrections.items()}


def _compare_terms(book: Any, found: dict[str, list[dict[str, Any]]], now: dt.datetime) -> None:
    """Compare limits, allowances and notices.

    A request that is repeated or refused may open a window. What an ended one has used is read by nobody.
    """
    windows = {
        limit_name(row["kind"], row["subject"], row["period"]): written_limit(row) for row in found["limit"]
    }
    for name in windows.keys() & book.limits.windows.keys():
        if windows[name][4] > now:
            book.limits.windows[name].roll(book.plan.zone, now)
    modelled = {name: modelled_limit(one) for name, one in book.limits.windows.items()}
    for window in (*windows.values(), *modelled.values()):
        window[2] = window[2] if window[4] > now else None
    assert windows == modelled
    assert {row["key"]: written_allowance(row) for row in found["allowance"]} == {
        key: modelled_allowance(one) for key, one in book.plan.terms.items()
    }
    notices = sorted(found["notice"], key=lambda row: row["id"])
    assert [written_notice(row) for row in notices] == [list(notice) for notice in book.notices]
