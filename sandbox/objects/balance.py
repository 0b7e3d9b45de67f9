"""Balance transactions: what each movement of money left on the balance, with Stripe's fees.

Invariant: net = amount - fee, always in the currency that was charged (no conversion), amounts in minor
units.
"""

from typing import Any

from sandbox import store
from sandbox.calls import Call
from sandbox.store import Body

FEE_PER_MILLE = 29
FEE_FIXED = 30
DISPUTE_FEE = 1500
ZERO_DECIMAL = (
    "bif",
    "clp",
    "djf",
    "gnf",
    "jpy",
    "kmf",
    "krw",
    "mga",
    "pyg",
    "rwf",
    "ugx",
    "vnd",
    "vuv",
    "xaf",
    "xof",
    "xpf",
)


def fee_of_charge(amount: int) -> int:
    """2.9 % and 30 minor units, half up."""
    return (amount * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED


def book(
    kind: str,
    source: Body,
    call: Call,
    *,
    amount: int,
    fee: int = 0,
    category: str = "",
    description: str = "",
) -> Body:
    """Write one movement; `amount` is negative when money leaves."""
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": source["currency"],
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return store.add(
        {
            "id": store.new_id("balance_transaction"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": call.now + 2 * 86400,
            "balance_type": "payments",
            "created": call.now,
            "currency": source["currency"],
            "description": description or None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": category or kind,
            "source": source["id"],
            "status": "pending",
            "type": kind,
        }
    )


def retrieve(call: Call) -> Body:
    return store.get("balance_transaction", call.ids["id"])


def list_transactions(call: Call) -> Body:
    return store.listing(
        "balance_transaction",
        call,
        "/v1/balance_transactions",
        type=call.params.get("type"),
        source=call.params.get("source"),
        currency=call.params.get("currency"),
    )


def retrieve_balance(call: Call) -> Body:
    """The sum of all movements, by currency."""
    sums: dict[str, int] = {}
    for movement in store.where("balance_transaction"):
        sums[movement["currency"]] = sums.get(movement["currency"], 0) + movement["net"]
    lines: list[dict[str, Any]] = [
        {"amount": amount, "currency": currency} for currency, amount in sorted(sums.items())
    ]
    return {"object": "balance", "available": lines, "pending": [], "livemode": False}


def format_amount(amount: int, currency: str) -> str:
    """ "$" aside, as Stripe's error messages write amounts: "12.34 usd"."""
    if currency in ZERO_DECIMAL:
        return f"{amount} {currency}"
    return f"{amount // 100}.{amount % 100:02d} {currency}"
