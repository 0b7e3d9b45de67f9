"""The state of some wallets, comparable between two runs, and a check of its consistency.

Ids, which differ from run to run, are replaced by the idempotency keys of their rows. The check is written
from the rules, independently of the ledger's SQL and its audit, so that it can test both.
"""

import datetime as dt
import hashlib
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db import connection

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TABLES = {
    "wallet": "seq",
    "grant": "created_at, idempotency_key",
    "entry": "seq",
    "charge": "created_at, idempotency_key",
    "hold": "created_at, idempotency_key",
    "allowance": "key",
    "limit": "kind, subject",
    "correction": "created_at, idempotency_key",
    "notice": "id",
}
# Hashes and digests cover ids, so they differ between runs; `broken` recomputes the hashes instead.
UNCOMPARED = {"id", "account_id", "digest", "hash", "head"}

Rows = dict[str, list[dict[str, Any]]]  # by table; ids and times are texts, credits Decimals


def state_of(account_ids: Sequence[uuid.UUID], *, times: bool = True) -> dict[str, dict[str, list[Any]]]:
    """Return every row of each account, by the account's index in the list."""
    found = rows_of(account_ids)
    names = {str(one): f"account {place}" for place, one in enumerate(account_ids)}
    for table in ("charge", "hold", "correction"):
        names |= {row["id"]: f"{table} {row['idempotency_key']}" for row in found[table]}
    for row in sorted(found["grant"], key=lambda row: row["created_at"]):
        names[row["id"]] = "grant " + _named(row["idempotency_key"], names)
    state: dict[str, dict[str, list[Any]]] = {f"account {n}": {} for n in range(len(account_ids))}
    for table, rows in found.items():
        for row in rows:
            dropped = UNCOMPARED | ({name for name in row if name.endswith("_at")} if not times else set())
            kept = {name: row[name] for name in row if name not in dropped}
            text = json.dumps(kept, default=str, sort_keys=True)
            state[names[row["account_id"]]].setdefault(table, []).append(_named(text, names))
    for tables in state.values():
        for table in tables.keys() - {"entry", "notice"}:
            tables[table].sort()
    return state


def broken(account_ids: Sequence[uuid.UUID]) -> list[str]:
    """Return what contradicts the money rules, derived from the entries; empty when consistent."""
    return faults_in(rows_of(account_ids))


def faults_in(everything: Rows) -> list[str]:
    """What contradicts the money rules in these rows of some accounts."""
    faults: list[str] = []
    for wallet in everything["wallet"]:
        account = wallet["account_id"]
        own_rows = {
            name: [r for r in rows if r["account_id"] == account] for name, rows in everything.items()
        }
        faults += _broken_chain(wallet, own_rows["entry"]) + _broken_sums(wallet, own_rows)
    return faults


def _broken_chain(wallet: dict[str, Any], entries: list[dict[str, Any]]) -> list[str]:
    account = wallet["account_id"]
    faults, head = [], hashlib.sha256(uuid.UUID(account).bytes).digest()
    balance, debt = Decimal(0), Decimal(0)
    remaining: defaultdict[str, Decimal] = defaultdict(Decimal)
    for number, entry in enumerate(entries, start=1):
        balance += entry["credits"]
        debt += entry["debt"]
        remaining[entry["grant_id"]] += entry["credits"]
        head = hashlib.sha256(head + _payload(entry).encode()).digest()
        found = (entry["seq"], entry["balance_after"], entry["grant_after"], entry["hash"])
        if found != (number, balance, remaining[entry["grant_id"]], rf"\x{head.hex()}"):
            faults.append(f"entry {number} of {account}: {entry}")
        if balance < 0 or remaining[entry["grant_id"]] < 0 or debt < 0:
            faults.append(f"below zero after entry {number} of {account}")
    times = [entry["created_at"] for entry in entries]
    if times != sorted(times) or wallet["moved_at"] != (times[-1] if times else None):
        faults.append(f"the times of {account}'s entries: {times}, its wallet says {wallet['moved_at']}")
    stated = (wallet["balance"], wallet["debt"], wallet["seq"], wallet["head"])
    if stated != (balance, debt, len(entries), rf"\x{head.hex()}"):
        faults.append(f"wallet of {account} states {stated[:3]}, its entries say {(balance, debt)}")
    return faults


def _broken_sums(wallet: dict[str, Any], found: dict[str, list[dict[str, Any]]]) -> list[str]:
    faults = []
    remaining: defaultdict[str, Decimal] = defaultdict(Decimal)
    charged: defaultdict[str, Decimal] = defaultdict(Decimal)
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    reserved: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in found["entry"]:
        remaining[entry["grant_id"]] += entry["credits"]
        if entry["kind"] == "charge":
            charged[entry["charge_id"]] -= entry["credits"]
        if entry["kind"] in {"hold", "release", "transfer"}:
            held[entry["grant_id"]] -= entry["credits"]
            reserved[entry["hold_id"]] -= entry["credits"]
    for grant in found["grant"]:
        derived, aside = remaining[grant["id"]], held[grant["id"]]
        if (grant["remaining"], grant["held"], grant["open"]) != (derived, aside, derived > 0):
            faults.append(
                f"grant {grant['idempotency_key']}: {grant['remaining']}, its entries say {derived}"
            )
    if wallet["held"] != sum(held.values()):
        faults.append(f"held of {wallet['account_id']}: {wallet['held']}, not {sum(held.values())}")
    faults += _broken_holds(wallet, found["hold"], reserved) + _broken_trees(found)
    for charge in found["charge"]:
        drawn = sum((Decimal(part["credits"]) for part in charge["drawn"]), Decimal(0))
        if not charged.pop(charge["id"], Decimal(0)) == drawn == charge["credits"] - charge["uncollected"]:
            faults.append(f"charge {charge['idempotency_key']}: drawn {drawn} of {charge['credits']}")
    return faults + [f"entries of no charge: {charge}" for charge in charged]


def _broken_holds(
    wallet: dict[str, Any], holds: list[dict[str, Any]], entries: dict[str, Decimal]
) -> list[str]:
    running = [hold for hold in holds if hold["status"] == "held"]
    faults = []
    for hold in holds:
        stated = _reserved(hold) if hold in running else Decimal(0)
        if stated != entries[hold["id"]]:
            faults.append(f"hold {hold['idempotency_key']}: {stated}, its entries say {entries[hold['id']]}")
    stated = sum(map(_reserved, running), Decimal(0))
    if (wallet["held"], wallet["running_holds"]) != (stated, len(running)):
        faults.append(f"running holds of {wallet['account_id']}: {len(running)} with {stated}")
    return faults


def _reserved(hold: dict[str, Any]) -> Decimal:
    """What a hold reserves itself, without its children; of a closed one, what it had then."""
    parts = hold["drawn"] if hold["reserved"] is None else hold["reserved"]
    return sum((Decimal(part["credits"]) for part in parts), Decimal(0))


def _broken_trees(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Trees of holds whose root did not reserve what was spent, is reserved, and was given back."""
    holds = {hold["id"]: hold for hold in found["hold"]}
    paid = {one["id"]: one["credits"] - one["uncollected"] for one in found["charge"]}
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for hold in holds.values():
        root = hold
        while root["parent_id"]:
            root = holds[root["parent_id"]]
        own = paid.get(hold["charge_id"], Decimal(0))
        sums[root["id"]] += own + (_reserved(hold) if hold["status"] == "held" else Decimal(0))
        if root is hold and hold["status"] != "held":
            sums[root["id"]] += _reserved(hold) - own
    trees = [hold for hold in holds.values() if hold["depth"] == 1 and hold["reserved"] is not None]
    return [
        f"tree of {root['idempotency_key']}: {root['credits']}, its holds say {sums[root['id']]}"
        for root in trees
        if root["credits"] != sums[root["id"]]
    ]


def _payload(entry: dict[str, Any]) -> str:
    amounts = [f"{entry[name]:.6f}" for name in ("credits", "debt", "grant_after", "balance_after")]
    since = dt.datetime.fromisoformat(entry["created_at"]) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    digest = (entry["digest"] or "").removeprefix(r"\x")
    parts = [entry["account_id"], entry["seq"], entry["kind"], entry["grant_id"] or "", *amounts]
    parts += [entry["charge_id"] or "", entry["hold_id"] or "", since // dt.timedelta(microseconds=1), digest]
    return "|".join(map(str, [*parts, len(entry["reason"]), entry["reason"], entry["actor"]]))


def rows_of(account_ids: Sequence[uuid.UUID]) -> Rows:
    """Return the rows of every table of `TABLES`, with one query, so from one snapshot."""
    rows = "(select json_agg(x order by account_id, {}) from billing_{} x where account_id = any(%s))::text"
    aggregates = (rows.format(order, table) for table, order in TABLES.items())
    with connection.cursor() as cursor:
        cursor.execute("select " + ", ".join(aggregates), [list(account_ids)] * len(TABLES))
        answers = cursor.fetchone()
    found = [json.loads(answer or "[]", parse_float=Decimal) for answer in answers]
    return dict(zip(TABLES, found, strict=True))


def _named(text: str, names: dict[str, str]) -> str:
    return UUID.sub(lambda found: names.get(found.group(), "?"), text)
