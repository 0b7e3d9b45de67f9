"""The whole state of some wallets in a form that two runs can be compared by, and a proof that it is whole.

Ids, which differ from run to run, are replaced by the keys they stand for. The proof is written from the
rules alone, apart from the ledger's SQL and from its audit, so that it can judge both.
"""

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
# The hash covers ids, so it differs between runs; `broken` recomputes it instead.
UNCOMPARED = {"id", "account_id", "hash", "head"}


def state_of(account_ids: Sequence[uuid.UUID], *, times: bool = True) -> dict[str, dict[str, list[Any]]]:
    """Everything the ledger holds of each account, by the account's place in the list."""
    names = {str(one): f"account {place}" for place, one in enumerate(account_ids)}
    for table in ("charge", "hold", "correction"):
        for row in _rows(table, account_ids):
            names[str(row["id"])] = f"{table} {row['idempotency_key']}"
    for row in sorted(_rows("grant", account_ids), key=lambda row: row["created_at"]):
        names[str(row["id"])] = "grant " + _named(row["idempotency_key"], names)
    state: dict[str, dict[str, list[Any]]] = {name: defaultdict(list) for name in names.values()}
    for table in TABLES:
        for row in _rows(table, account_ids):
            dropped = UNCOMPARED | ({name for name in row if name.endswith("_at")} if not times else set())
            kept = {name: row[name] for name in row if name not in dropped}
            text = json.dumps(kept, default=_plain, sort_keys=True)
            state[names[str(row["account_id"])]][table].append(_named(text, names))
    for tables in state.values():
        for table in tables.keys() - {"entry", "notice"}:
            tables[table].sort()
    return {name: dict(tables) for name, tables in state.items() if tables}


def broken(account_ids: Sequence[uuid.UUID]) -> list[str]:
    """What contradicts the rules of money, re-derived from the entries: an empty list when all is well."""
    faults: list[str] = []
    for account in account_ids:
        wallets = _rows("wallet", [account])
        if wallets:
            faults += _broken_chain(account, wallets[0])
            faults += _broken_sums(account, wallets[0])
    return faults


def _broken_chain(account: uuid.UUID, wallet: dict[str, Any]) -> list[str]:
    faults, head = [], hashlib.sha256(account.bytes).digest()
    balance, debt, remaining = Decimal(0), Decimal(0), defaultdict(Decimal)
    for number, entry in enumerate(_rows("entry", [account]), start=1):
        balance += entry["credits"]
        debt += entry["debt"]
        remaining[entry["grant_id"]] += entry["credits"]
        head = hashlib.sha256(head + _payload(entry).encode()).digest()
        found = (entry["seq"], entry["balance_after"], entry["grant_after"], bytes(entry["hash"]))
        if found != (number, balance, remaining[entry["grant_id"]], head):
            faults.append(f"entry {number} of {account}: {entry}")
        if balance < 0 or remaining[entry["grant_id"]] < 0 or debt < 0:
            faults.append(f"below zero after entry {number} of {account}")
    stated = (wallet["balance"], wallet["debt"], bytes(wallet["head"]))
    if stated != (balance, debt, head):
        faults.append(f"wallet of {account} states {stated[:2]}, its entries say {(balance, debt)}")
    return faults


def _broken_sums(account: uuid.UUID, wallet: dict[str, Any]) -> list[str]:
    faults = []
    entries, grants = _rows("entry", [account]), _rows("grant", [account])
    charged, held = defaultdict(Decimal), defaultdict(Decimal)
    for entry in entries:
        if entry["kind"] == "charge":
            charged[entry["charge_id"]] -= entry["credits"]
        if entry["kind"] in {"hold", "release"}:
            held[entry["grant_id"]] -= entry["credits"]
    for grant in grants:
        remaining = sum((e["credits"] for e in entries if e["grant_id"] == grant["id"]), Decimal(0))
        stated = (grant["remaining"], grant["held"], grant["open"])
        if stated != (remaining, held[grant["id"]], remaining > 0):
            faults.append(f"grant {grant['idempotency_key']} states {stated}, its entries say {remaining}")
    running = sum((h["credits"] for h in _rows("hold", [account]) if h["status"] == "held"), Decimal(0))
    if not wallet["held"] == sum(held.values()) == running:
        faults.append(f"held of {account}: {wallet['held']}, {sum(held.values())}, {running}")
    for charge in _rows("charge", [account]):
        drawn = sum((Decimal(part["credits"]) for part in json.loads(charge["drawn"])), Decimal(0))
        if not charged.pop(charge["id"], Decimal(0)) == drawn == charge["credits"] - charge["uncollected"]:
            faults.append(f"charge {charge['idempotency_key']}: drawn {drawn} of {charge['credits']}")
    return faults + [f"entries of no charge: {charge}" for charge in charged]


def _payload(entry: dict[str, Any]) -> str:
    amounts = [f"{entry[name]:.6f}" for name in ("credits", "debt", "grant_after", "balance_after")]
    micros = int(entry["created_at"].timestamp()) * 1_000_000 + entry["created_at"].microsecond
    parts = [entry["account_id"], entry["seq"], entry["kind"], entry["grant_id"], *amounts]
    parts += [entry["charge_id"] or "", entry["hold_id"] or "", entry["reason"], entry["actor"], micros]
    return "|".join(map(str, parts))


def _rows(table: str, account_ids: Sequence[uuid.UUID]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"select * from billing_{table} where account_id = any(%s) order by account_id, {TABLES[table]}",
            [list(account_ids)],
        )
        columns = [column.name for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _named(text: str, names: dict[str, str]) -> str:
    return UUID.sub(lambda found: names.get(found.group(), "?"), text)


def _plain(value: Any) -> str:
    return bytes(value).hex() if isinstance(value, memoryview | bytes) else str(value)
