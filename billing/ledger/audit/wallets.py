"""The audit of wallets: portions of accounts, each compared with its entries by one short statement.

A wallet with many entries is read in pages; what later pages need of earlier ones (the chain's end, the sums
by grant) is carried in `state`. The checks are queries in `sql/` over the same entries, `sql/00_page.sql`;
those in `sql/final/` need all entries of a wallet and run with its last page.
Invariant: no statement reads more than about PAGE entries, so no snapshot is long: a long one keeps dead rows
of busy wallets from being pruned. Rows without a wallet are read too: portions are ranges of account ids.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.ledger import database

SQL = Path(__file__).parent / "sql"
_ARCHIVED = (SQL.parent / "archived.sql").read_text()
PAGE = 25_000  # entries read by one statement
LARGE = 2 * PAGE  # a wallet with more entries is read in pages
NAMED = 100  # rows named by each check of a portion
_WALLETS = (
    "select account_id, seq from billing_wallet where account_id > %(after)s order by account_id limit 2000"
)
_NEWEST_ARCHIVE = "select max(number) as number from billing_archive"
# The last entry of a page: entries of one time are one move, which is not divided.
_PAGE_END = """
select max(seq) as seq, count(*) as rows from (
  select seq, created_at, lead(created_at) over (order by seq) as next_at from (
    select seq, created_at from billing_entry where account_id = %(account)s and seq > %(seq)s order by seq limit %(size)s
  ) e) x where next_at <> created_at
"""  # noqa: E501
# Portions sort and hash some megabytes: in memory instead of temporary files, and without compilation.
_SETTINGS = "select set_config('work_mem', '64MB', true), set_config('jit', 'off', true)"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One wrong row: the check that found it, its name, and the figures that differ."""

    check: str
    subject: str
    found: str


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Accounts to audit together: those in `accounts`, else those with ids between `after` and `before`."""

    accounts: list[UUID] | None = None
    after: UUID | None = None
    before: UUID | None = None
    large: bool = False

    @property
    def end(self) -> UUID | None:
        """The account after which a resumed audit continues; None when this is the last portion."""
        if self.accounts:
            return self.accounts[-1]
        return _before(self.before) if self.before else None


@dataclass(kw_only=True)
class Result:
    """What the audit of one portion found, and its sums."""

    findings: list[Finding] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Result") -> None:
        """Add the findings and sums of another portion."""
        self.findings += other.findings
        self.totals.update(other.totals)


def all_portions(after: UUID | None = None) -> Iterator[Portion]:
    """Portions that cover every account id greater than `after`, in order."""
    start, last, size = after, after, 0
    while wallets := database.rows(_WALLETS, {"after": last or UUID(int=0)}):
        for wallet in wallets:
            account, seq = wallet["account_id"], wallet["seq"]
            if seq > LARGE or size + seq > PAGE:
                yield Portion(after=start, before=account)
                start, size = _before(account), 0
            if seq > LARGE:
                yield Portion(accounts=[account], large=True)
                start = account
            else:
                size += seq + 1
            last = account
    yield Portion(after=start)


def moved_portions(since_entry: int, after: UUID | None = None) -> Iterator[Portion]:
    """Portions of the accounts that have entries newer than the entry with this id, in order."""
    moved = database.rows(
        """select w.account_id, w.seq from billing_wallet w
           where w.account_id in (select account_id from billing_entry where id > %(since)s)
             and w.account_id > %(after)s order by w.account_id""",
        {"since": since_entry, "after": after or UUID(int=0)},
    )
    accounts: list[UUID] = []
    size = 0
    for wallet in moved:
        if wallet["seq"] > LARGE or size + wallet["seq"] > PAGE:
            if accounts:
                yield Portion(accounts=accounts)
            accounts, size = [], 0
        if wallet["seq"] > LARGE:
            yield Portion(accounts=[wallet["account_id"]], large=True)
        else:
            accounts.append(wallet["account_id"])
            size += wallet["seq"] + 1
    if accounts:
        yield Portion(accounts=accounts)


def inspect(portion: Portion) -> Result:
    """Compare the wallets of the portion with their entries.

    An archive may remove entries between two statements: a difference that is found then is looked for again.
    """
    while True:
        archive = database.row(_NEWEST_ARCHIVE, {})
        result = _inspected(portion)
        if not result.findings or database.row(_NEWEST_ARCHIVE, {}) == archive:
            return result


def _inspected(portion: Portion) -> Result:
    if portion.large and portion.accounts:
        return read_pages(portion.accounts[0])[0]
    if portion.accounts:
        scope = "{alias}.account_id = any(%(accounts)s)"
    else:
        scope = " and ".join(
            ["true"]
            + ["{alias}.account_id > %(after)s"] * (portion.after is not None)
            + ["{alias}.account_id < %(before)s"] * (portion.before is not None)
        )
    parameters = {"accounts": portion.accounts, "after": portion.after, "before": portion.before}
    result, state, _ = _archived(scope, parameters)
    found, _ = _run(scope, scope, {**parameters, "state": state}, is_final=True)
    result.add(found)
    return result


def read_pages(account: UUID, until: int | None = None) -> tuple[Result, str]:
    """Inspect a wallet page by page, after its archived entries; with `until`, only up to that entry.

    Returns findings and totals, and the state from which an audit of later entries continues.
    """
    scope = "{alias}.account_id = %(account)s"
    result, state, seq = _archived(scope, {"account": account})
    while True:
        end = _page_end(account, seq)
        if until is not None:
            end = min(end or until, until)
        entries = scope + " and {alias}.seq > %(seq)s" + (" and {alias}.seq <= %(end)s" if end else "")
        parameters = {"account": account, "seq": seq, "end": end, "state": state}
        page, state = _run(entries, scope, parameters, is_final=end is None)
        result.add(page)
        if end is None or end == until:
            return result, state
        seq = end


def _archived(scope: str, parameters: dict[str, Any]) -> tuple[Result, str, int]:
    """Totals, state and last number of the archived entries of the accounts in scope."""
    if database.is_distributed():  # it has no archives
        return Result(), "{}", 0
    found = database.row(_ARCHIVED.replace("{scope}", scope.format(alias="x")), parameters)
    totals = {name: Decimal(value) for name, value in json.loads(found["totals"]).items()}
    return Result(totals=Counter(totals)), found["state"], found["seq"] or 0


def _page_end(account: UUID, seq: int) -> int | None:
    """The number of the last entry of the page after entry `seq`; None when the rest is one page."""
    size = PAGE
    while True:
        rows = database.row(
            "select count(*) as rows from (select from billing_entry where account_id = %(account)s"
            " and seq > %(seq)s limit %(size)s) x",
            {"account": account, "seq": seq, "size": size},
        )["rows"]
        if rows < size:
            return None
        end = database.row(_PAGE_END, {"account": account, "seq": seq, "size": size})["seq"]
        if end is not None:
            return int(end)
        size *= 4


def _run(entries: str, scope: str, parameters: dict[str, Any], *, is_final: bool) -> tuple[Result, str]:
    statement = _statement(entries, scope, is_final)
    with transaction.atomic():
        database.row(_SETTINGS, {})
        rows = database.read(statement, parameters, account_id=parameters.get("account"))
    result, state = Result(), "{}"
    for row in rows:
        if row["check"] == "state":
            state = row["found"]
        elif row["check"] == "totals":
            result.totals.update(
                {k: Decimal(v) for k, v in json.loads(row["found"], parse_float=Decimal).items()}
            )
        else:
            result.findings.append(Finding(**row))
    return result, state


@functools.cache
def _statement(entries: str, scope: str, is_final: bool) -> str:
    files = sorted(SQL.glob("[a-z]*.sql")) + (sorted((SQL / "final").glob("*.sql")) if is_final else [])
    checks = [
        f"(select '{file.stem}' as check, subject, found from (\n{file.read_text()}) x limit {NAMED})"
        for file in files
        if file.stem != "state" or not is_final
    ]
    text = "with " + (SQL / "00_page.sql").read_text() + "\nunion all\n".join(checks)
    return text.replace("{entries}", entries.format(alias="e")).replace("{scope}", scope.format(alias="x"))


def _before(account: UUID) -> UUID:
    return UUID(int=account.int - 1)


def inspect_apart(portion: Portion) -> Result:
    """Inspect the portion on a connection of this thread."""
    try:
        return inspect(portion)
    finally:
        connection.close()
