"""A batch has the same outcome as its uses charged one after the other, in every case Hypothesis generates.

Each example creates a few wallets, charges a list of uses in one call, records the state, rolls back, charges
the same list one by one, and compares. Batches below and above 48 uses, the size from which the SQL charges
wallets together, consist of a short list repeated with other keys.
"""

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from billing import ledger
from billing.ledger import database
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account
from tests.billing.ledger.examples import examples
from tests.billing.ledger.state import broken, state_of

pytestmark = pytest.mark.django_db
PROJECT = uuid.UUID(int=7)
LATER = NOON + DAY
CREDITS = st.sampled_from(["0", "0.000001", "0.5", "1", "3", "7.25"])
COVERS = st.sampled_from([("gpt-4o", "tag:text"), ("flux", "tag:image")])


@dataclass(frozen=True, kw_only=True)
class GrantTerms:
    """A grant as it is before the batch; `expires` in days after the first day (the batch is on day 1)."""

    credits: str
    kind: str = "top_up"
    expires: int | None = None
    services: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class WalletState:
    """One wallet: its grants, debt, limits and threshold."""

    grants: tuple[GrantTerms, ...]
    spent: tuple[str, ...] = ()
    warn_below: str | None = None
    limit: str | None = None
    files: int | None = None
    has_debt: bool = False
    daily: str | None = None
    exists: bool = True


@dataclass(frozen=True, kw_only=True)
class Use:
    """One request of the batch: `wallet` and `key` are numbers; keys below 3 were used before the batch."""

    wallet: int
    key: int
    credits: str
    covers: tuple[str, ...]
    fingerprint: bytes = b""
    in_project: bool = False
    files: int = 0


grants = st.builds(
    GrantTerms,
    credits=st.sampled_from(["0.5", "2", "10", "40", "500"]),
    kind=st.sampled_from(["daily", "plan", "bonus", "top_up"]),
    expires=st.sampled_from([None, None, 1, 2, 5]),
    services=st.sampled_from([None, None, None, ("tag:image",), ("gpt-4o",)]),
)
unscoped_grants = st.builds(
    GrantTerms, credits=st.sampled_from(["0.5", "2", "40", "900"]), expires=st.sampled_from([None, 2])
)
wallet_states = st.one_of(
    st.builds(
        WalletState,
        grants=st.lists(unscoped_grants, max_size=4).map(tuple),
        spent=st.lists(CREDITS, max_size=2).map(tuple),
        warn_below=st.sampled_from([None, "1", "20", "400"]),
    ),
    st.builds(
        WalletState,
        grants=st.lists(grants, max_size=4).map(tuple),
        spent=st.lists(CREDITS, max_size=3).map(tuple),
        warn_below=st.sampled_from([None, "1", "20"]),
        limit=st.sampled_from([None, None, "5", "30"]),
        files=st.sampled_from([None, None, 3]),
        has_debt=st.sampled_from([False, False, True]),
        daily=st.sampled_from([None, "5"]),
        exists=st.sampled_from([True, True, True, False]),
    ),
)
funded_wallets = st.builds(
    WalletState,
    grants=st.tuples(
        unscoped_grants, st.just(GrantTerms(credits="60")), unscoped_grants | unscoped_grants | grants
    ),
    spent=st.lists(CREDITS, max_size=2).map(tuple),
    warn_below=st.sampled_from([None, "1", "20", "60", "400"]),
    limit=st.sampled_from([None, None, "30", "300"]),
    files=st.sampled_from([None, None, 3, 100]),
    has_debt=st.sampled_from([False, False, False, True]),
    daily=st.sampled_from([None, "5"]),
)
uses = st.builds(
    Use,
    wallet=st.integers(0, 3),
    key=st.integers(0, 40),
    credits=CREDITS,
    covers=COVERS,
    fingerprint=st.sampled_from([b"", b"", b"", b"other body"]),
    in_project=st.booleans(),
    files=st.sampled_from([0, 0, 1]),
)


def fill(wallet: WalletState, place: int) -> uuid.UUID:
    """Create the wallet with its history on NOON; the batch is one day later."""
    if not wallet.exists:
        return uuid.UUID(int=place + 1)
    account = new_account()
    if wallet.daily:
        ledger.set_allowances(account_id=account, allowances=[allowance("day", wallet.daily)], now=NOON)
    for number, grant in enumerate(wallet.grants):
        ends = None if grant.expires is None else NOON + grant.expires * DAY
        terms = {"kind": grant.kind, "services": grant.services, "expires_at": ends}
        give(account, grant.credits, f"grant {number}", NOON + dt.timedelta(seconds=number // 2), **terms)
    for number, amount in enumerate(wallet.spent):
        with contextlib.suppress(ledger.InsufficientCredits):
            ledger.charge(charge_request(account, amount, f"key {number}"), NOON)
    if wallet.has_debt:
        purchase = uuid.uuid4()
        give(account, "6", "sold", purchase_id=purchase, priority=1)
        ledger.charge(charge_request(account, "6", "spent"), NOON)
        ledger.claw_back(account_id=account, purchase_id=purchase, key="refund", reason="refund", now=NOON)
    if wallet.limit:
        limits = {"account_id": account, "period": "day", "now": NOON}
        ledger.set_limit(kind="project", subject=str(PROJECT), maximum=D(wallet.limit), **limits)
    if wallet.files is not None:
        limits = {"account_id": account, "period": "month", "now": NOON}
        ledger.set_limit(kind="quota", subject="files", maximum=Decimal(wallet.files), **limits)
    if wallet.warn_below:
        ledger.set_warning(account_id=account, below=D(wallet.warn_below), now=NOON)
    return account


def as_request(use: Use, accounts: list[uuid.UUID]) -> ledger.ChargeRequest:
    return charge_request(
        accounts[use.wallet],
        use.credits,
        f"key {use.key}",
        service=use.covers[0],
        covers=use.covers,
        fingerprint=use.fingerprint,
        project_id=PROJECT if use.in_project else None,
        quota=("files", use.files) if use.files else None,
        detail={"use": use.key},
    )


def one_by_one(
    requests: list[ledger.ChargeRequest], now: dt.datetime
) -> list[ledger.Charged | ledger.LedgerError]:
    return [charged_alone(request, now) for request in requests]


def charged_alone(request: ledger.ChargeRequest, now: dt.datetime) -> ledger.Charged | ledger.LedgerError:
    before = transaction.savepoint()
    try:
        return ledger.charge(request, now)
    except ledger.UnknownWallet as error:  # it aborts its transaction
        transaction.savepoint_rollback(before)
        return error
    except ledger.LedgerError as error:
        return error


def comparable(outcome: ledger.Charged | ledger.LedgerError, accounts: list[uuid.UUID]) -> Any:
    """Return the outcome without the ids that settling generates."""
    if isinstance(outcome, ledger.LedgerError):
        return type(outcome).__name__, vars(outcome)
    return replace(outcome, drawn=tuple((part.kind, part.credits) for part in outcome.drawn))


@contextlib.contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def result_of(charge: Any, requests: list[ledger.ChargeRequest], accounts: list[uuid.UUID]) -> dict[str, Any]:
    with rolled_back():
        outcomes = [comparable(outcome, accounts) for outcome in charge(requests, LATER)]
        # a batch settles and opens new windows before it looks for replays, a single charge afterwards
        ledger.settle(accounts, LATER)
        for account in accounts:
            database.row("select ledger_roll_limits(%(id)s, %(now)s)", {"id": account, "now": LATER})
        assert broken(accounts) == []
        return {"outcomes": outcomes} | state_of(accounts)


def compare(wallets: list[WalletState], all_uses: list[Use]) -> None:
    with rolled_back():
        accounts = [fill(wallet, place) for place, wallet in enumerate(wallets)]
        requests = [as_request(use, accounts) for use in all_uses]
        together, singly = (
            result_of(charge, requests, accounts) for charge in (ledger.charge_many, one_by_one)
        )
    for name, value in together.items():
        assert value == singly[name], name


@examples(40)
@given(
    st.lists(wallet_states, min_size=4, max_size=4),
    st.lists(uses, min_size=1, max_size=24),
    st.sampled_from([1, 1, 3]),
)
def test_any_batch_has_the_same_result_as_one_after_the_other(db, wallets, some_uses, times):
    compare(wallets, [replace(use, key=use.key + 41 * turn) for turn in range(times) for use in some_uses])


@examples(25)
@given(
    st.lists(funded_wallets, min_size=4, max_size=4),
    st.lists(uses, min_size=8, max_size=12),
    st.lists(st.integers(0, 47), max_size=3),
)
def test_a_large_batch_on_plain_wallets_has_the_same_result_as_one_after_the_other(
    db, wallets, some_uses, replayed
):
    """Every key is new but for a few that were used before, so most wallets are charged by one statement."""
    all_uses = [replace(use, key=3 + turn * 20 + n) for turn in range(6) for n, use in enumerate(some_uses)]
    for place in replayed:
        all_uses[place] = replace(all_uses[place], key=place % 3)
    compare(wallets, all_uses)


def test_a_batch_of_more_than_a_thousand_uses_is_refused(account):
    with pytest.raises(ValueError, match="1001"):
        ledger.charge_many([charge_request(account, "1", str(n)) for n in range(1001)], NOON)
    assert ledger.charge_many([], NOON) == []


def test_a_key_that_a_large_batch_has_twice_is_charged_once(account):
    give(account, "100")
    keys = [f"use {n}" for n in range(59)] + ["use 0"]
    outcomes = ledger.charge_many([charge_request(account, "1", key) for key in keys], NOON)
    assert [outcome.replayed for outcome in outcomes] == [False] * 59 + [True]
    assert ledger.balance(account, NOON).total == D("41")
