"""Payment methods by currency and mode, as Stripe supports them, and those that a catalogue offers.

Invariant: what is offered is what the catalogue names; a method that a currency of the catalogue, or a
subscription, cannot have is an error when the catalogue loads, and is never left out silently.
"""

from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack, Plan

# Currencies of a method; None: every currency. The pages of each method state them:
CURRENCIES: dict[str, frozenset[str] | None] = {
    # https://docs.stripe.com/payments/payment-methods/payment-method-support
    "card": None,
    # https://docs.stripe.com/payments/alipay
    "alipay": frozenset(["aud", "cad", "cny", "eur", "gbp", "hkd", "jpy", "myr", "nzd", "sgd", "usd"]),
    # https://docs.stripe.com/payments/wechat-pay
    "wechat_pay": frozenset(
        ("aud", "cad", "chf", "cny", "dkk", "eur", "gbp", "hkd", "jpy", "nok", "sek", "sgd", "usd")
    ),
    # https://docs.stripe.com/payments/bank-transfers
    "customer_balance": frozenset(["eur", "gbp", "jpy", "mxn", "usd"]),
    # https://docs.stripe.com/payments/sepa-debit
    "sepa_debit": frozenset({"eur"}),
}
# Checkout in subscription mode takes methods that can be charged again without the customer:
# https://docs.stripe.com/payments/payment-methods/payment-method-support#product-support
OF_SUBSCRIPTIONS = frozenset({"card", "sepa_debit"})


def objection(method: str, currency: str, *, subscription: bool) -> str:
    """What has to stand in place of this method; empty when Stripe has it."""
    if subscription and method not in OF_SUBSCRIPTIONS:
        allowed = ", ".join(sorted(OF_SUBSCRIPTIONS))
        return f"a method that Stripe offers for subscriptions ({allowed})"
    currencies = CURRENCIES[method]
    if currencies is not None and currency not in currencies:
        names = ", ".join(sorted(currencies))
        return f"a method that Stripe has in {currency}: {method} is paid in {names} only"
    return ""


def of_pack(key: str, currency: str) -> list[str]:
    """The methods that pay a pack: its own in the currency, else those of the policies."""
    own = Pack.objects.filter(key=key).values_list("payment_methods", flat=True).first() or {}
    return list(own.get(currency) or of_packs(currency))


def of_packs(currency: str) -> list[str]:
    """The methods that pay packs without methods of their own.

    A purchase may be in a currency that was taken from the catalogue since: it is paid by those methods that
    Stripe has in it.
    """
    policies = catalogue_cache.current().policies
    methods = policies.payment_methods_in.get(currency) or policies.payment_methods
    payable = [method for method in methods if not objection(method, currency, subscription=False)]
    return list(payable) or ["card"]


def of_plan(key: str, currency: str) -> list[str]:
    """The methods that pay a plan: its own in the currency, else cards."""
    own = Plan.objects.filter(key=key).values_list("payment_methods", flat=True).first() or {}
    return list(own.get(currency) or ["card"])
