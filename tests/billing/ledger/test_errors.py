"""Errors of the ledger: code, HTTP status, text and figures, as the API and pages show them."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from billing import ledger
from billing.ledger.errors import AmountInvalid, LedgerError
from billing.ledger.moves import checked
from tests.billing.ledger.conftest import NOON, D

ACCOUNT = uuid.UUID(int=1)
LIMIT = {"limit": "member", "subject": "x", "maximum": D("10.50"), "used": D("9.000")}
ERRORS: list[tuple[LedgerError, str, int, str, dict[str, Any]]] = [
    (
        ledger.InsufficientCredits(needed=D("5.500000"), available=D("1.250000")),
        "insufficient_credits", 402,
        "This costs 5.5 credits. Available for it: 1.25 credits.",
        {"needed": "5.5", "available": "1.25"},
    ),
    (
        ledger.InDebt(needed=D("5"), debt=D("3.10")),
        "insufficient_credits", 402,
        "The account owes 3.1 credits after a refund or dispute. New credits repay it first.",
        {"needed": "5", "available": "0", "debt": "3.1"},
    ),
    (
        ledger.LimitReached(resets_at=NOON, **LIMIT),
        "limit_reached", 429,
        "The member's limit of 10.5 credits is reached. Used: 9 credits.",
        {"limit": "member", "maximum": "10.5", "used": "9", "resets_at": "2026-03-10T12:00:00Z"},
    ),
    (
        ledger.LimitReached(resets_at=None, **LIMIT),
        "limit_reached", 429,
        "The member's limit of 10.5 credits is reached. Used: 9 credits.",
        {"limit": "member", "maximum": "10.5", "used": "9", "resets_at": None},
    ),
    *(
        (
            ledger.LimitReached(resets_at=None, **LIMIT | {"limit": kind}),
            "limit_reached", 429,
            f"The {kind}'s limit of 10.5 credits is reached. Used: 9 credits.",
            {"limit": kind, "maximum": "10.5", "used": "9", "resets_at": None},
        )
        for kind in ("project", "key")
    ),
    (
        ledger.QuotaReached(quota="files", maximum=D("100.000000"), used=D("99.000000")),
        "quota_reached", 403,
        "The plan allows 100 of “files”; 99 are used. A larger plan may allow more.",
        {"quota": "files", "maximum": "100", "used": "99"},
    ),
    (
        ledger.BalanceTooLarge(), "balance_too_large", 409,
        "The balance would be more than 1000000000000 credits.", {"largest_balance": "1000000000000"},
    ),
    (
        ledger.HoldClosed("expired"), "hold_closed", 409,
        "This hold is closed. Its status is expired.", {"hold_status": "expired"},
    ),
    (
        ledger.NotReversible(asked=D("3.10"), left=D("1.000")), "not_reversible", 409,
        "3.1 credits cannot be returned. Left of this charge: 1 credit.", {"left": "1"},
    ),
    (
        ledger.TooManyHolds(3), "too_many_holds", 409,
        "The account has 3 running holds, the maximum. Capture or release some, or wait.", {"most": 3},
    ),
    (
        ledger.BudgetExceeded(needed=D("1"), remaining=D("0.5")), "budget_exceeded", 402,
        "This needs 1 credit. Left of the parent hold for it: 0.5 credits.",
        {"needed": "1", "remaining": "0.5"},
    ),
    (
        ledger.TreeTooDeep(4), "tree_too_deep", 409,
        "A tree of holds is at most 4 deep. Use the parent of this parent.", {"most": 4},
    ),
    (
        ledger.ChildrenOpen(1), "children_open", 409,
        "This hold has 1 open child. Capture or release it first.", {"children": 1},
    ),
    (
        ledger.ChildrenOpen(2), "children_open", 409,
        "This hold has 2 open children. Capture or release them first.", {"children": 2},
    ),
    (
        ledger.TooManyGrants(4), "too_many_grants", 409,
        "The account has 4 grants with credits left, the maximum. Grant more credits at a time.", {"most": 4},
    ),
    (
        AmountInvalid(D("-1")), "out_of_range", 400, "The largest amount is 1000000000 credits.", {},
    ),
    (
        ledger.AlreadyExpired(NOON), "in_the_past", 400,
        "Credits with an expiry in the past cannot be granted.", {},
    ),
    (
        ledger.WalletBusy(ACCOUNT), "account_busy", 409,
        "The account is in use by another request. Send this item again with the same key.", {},
    ),
    (
        ledger.WalletUnreachable(ACCOUNT), "account_unreachable", 503,
        "It is not known whether this item was charged. Send it again with the same key.", {},
    ),
    (
        ledger.WalletUnusable(ACCOUNT), "account_unusable", 409,
        "The account's balance cannot be changed at present. Contact support.", {},
    ),
    (ledger.UnknownWallet(ACCOUNT), "unknown_account", 404, "", {}),
    (ledger.UnknownCharge(ACCOUNT), "not_found", 404, "", {}),
    (ledger.UnknownHold(ACCOUNT), "not_found", 404, "", {}),
    (ledger.UnknownClawBack("key"), "not_found", 404, "", {}),
]  # fmt: skip


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: type(case[0]).__name__)
def test_each_error_states_its_code_status_text_and_figures(case):
    error, code, status, detail, extra = case
    assert (error.code, error.status, error.detail(), error.extra()) == (code, status, detail, extra)


def test_the_field_of_an_invalid_amount_or_expiry_is_named():
    assert (AmountInvalid(0).field, ledger.AlreadyExpired(None).field) == ("credits", "expires_at")


def test_a_reused_key_is_answered_as_by_every_other_request():
    error = ledger.KeyReused("key")
    assert (error.code, error.status) == ("idempotency_key_reused", 422)
    assert error.detail() == (
        "This idempotency key has been used for another request. Use a new key for a new request."
    )


@pytest.mark.parametrize(
    ("before", "header"),
    [("90", "90"), ("0.2", "1"), ("1.000001", "2"), ("-5", "1")],
)
def test_a_limit_says_when_to_try_again(before, header):
    error = ledger.LimitReached(resets_at=NOON, **LIMIT)
    assert error.headers(NOON - dt.timedelta(seconds=float(before))) == {"Retry-After": header}
    assert ledger.LimitReached(resets_at=None, **LIMIT).headers(NOON) == {}


@pytest.mark.parametrize(
    ("amount", "zero", "is_valid"),
    [
        ("0.000001", False, True), ("1000000000", False, True), ("1000000000.000001", False, False),
        ("0", False, False), ("0", True, True), ("-0.000001", True, False), ("0.0000001", True, False),
        ("1.0000000", False, True), ("NaN", True, False), ("Infinity", True, False),
    ],
)  # fmt: skip
def test_an_amount_is_checked_to_the_last_digit(amount, zero, is_valid):
    if is_valid:
        assert checked(Decimal(amount), zero=zero) == Decimal(amount)
        return
    with pytest.raises(AmountInvalid):
        checked(Decimal(amount), zero=zero)


@pytest.mark.parametrize("amount", [1, 1.5, "1", None, True])
def test_only_a_decimal_is_an_amount(amount):
    with pytest.raises(AmountInvalid):
        checked(amount)


def test_an_amount_up_to_another_maximum():
    assert checked(D("5"), most=D("5")) == D("5")
    with pytest.raises(AmountInvalid):
        checked(D("5.000001"), most=D("5"))


def test_an_allowance_and_a_use_check_their_amounts():
    with pytest.raises(AmountInvalid):
        ledger.AllowanceTerms(key="a", kind="plan", label="a", credits=D("-1"), period="day", anchor_at=NOON)
    with pytest.raises(AmountInvalid):
        ledger.ChargeRequest(account_id=ACCOUNT, credits=D("-1"), key="k", service="s")
    assert ledger.ChargeRequest(account_id=ACCOUNT, credits=D("0"), key="k", service="s").credits == 0
