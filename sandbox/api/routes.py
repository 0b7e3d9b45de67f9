"""The routes of the API: method, path, handler and supported parameters.

Invariant: every route is an endpoint of the installed SDK, and every parameter one that Stripe accepts there
(tests/sandbox/test_contract.py). A parameter that is not listed is refused with the code `sandbox_gap`.
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from sandbox.calls import Call
from sandbox.objects import (
    accounts,
    charges,
    checkout_sessions,
    clocks,
    customer_balances,
    customers,
    disputes,
    events,
    invoice_actions,
    invoices,
    payment_methods,
    payments,
    portal_sessions,
    prices,
    refunds,
    renewals,
    setup_intents,
    subscriptions,
)
from sandbox.store import Body

PAGED = "limit starting_after ending_before created"


class Route(NamedTuple):
    """`parameters` are names separated by spaces; `expand` is supported everywhere."""

    method: str
    path: str
    handler: Callable[[Call], Body]
    parameters: str = ""

    @property
    def supported(self) -> set[str]:
        return {"expand", *self.parameters.split()}


ROUTES = (
    Route("get", "/v1/account", accounts.retrieve_current),
    Route("delete", "/v1/customers/{customer}", customers.delete),
    Route("get", "/v1/prices/{price}", prices.retrieve),
    Route("post", "/v1/prices/{price}", prices.update, "active metadata nickname"),
    Route("post", "/v1/customers", customers.create, "email name address metadata test_clock"),
    Route("get", "/v1/customers/search", customers.search, "query limit"),
    Route("get", "/v1/customers/{customer}", customers.retrieve),
    Route(
        "post",
        "/v1/customers/{customer}",
        customers.update,
        "email name address balance metadata invoice_settings",
    ),
    Route(
        "get",
        "/v1/customers/{customer}/balance_transactions",
        customer_balances.list_transactions,
        PAGED,
    ),
    Route(
        "post",
        "/v1/customers/{customer}/balance_transactions",
        customer_balances.create,
        "amount currency description metadata",
    ),
    Route(
        "get",
        "/v1/payment_methods",
        payment_methods.list_methods,
        "limit starting_after ending_before customer type",
    ),
    Route("post", "/v1/payment_methods", payment_methods.create, "type sepa_debit billing_details"),
    Route("get", "/v1/payment_methods/{payment_method}", payment_methods.retrieve),
    Route(
        "post", "/v1/payment_methods/{payment_method}/attach", payment_methods.attach_to_customer, "customer"
    ),
    Route("post", "/v1/payment_methods/{payment_method}", payment_methods.update, "card metadata"),
    Route("post", "/v1/payment_methods/{payment_method}/detach", payment_methods.detach_from_customer),
    Route(
        "post",
        "/v1/setup_intents",
        setup_intents.create,
        "customer payment_method allowed_payment_method_types confirm usage mandate_data",
    ),
    Route("get", "/v1/setup_intents/{intent}", setup_intents.retrieve),
    Route("post", "/v1/billing_portal/sessions", portal_sessions.create, "customer return_url locale"),
    Route("get", "/v1/prices", prices.list_prices, f"{PAGED} active currency recurring"),
    Route(
        "post",
        "/v1/prices",
        prices.create,
        "currency unit_amount product product_data recurring metadata tax_behavior",
    ),
    Route(
        "get",
        "/v1/checkout/sessions",
        checkout_sessions.list_sessions,
        f"{PAGED} customer payment_intent status",
    ),
    Route(
        "post",
        "/v1/checkout/sessions",
        checkout_sessions.create,
        "mode line_items success_url cancel_url customer client_reference_id currency locale metadata "
        "payment_intent_data subscription_data allowed_payment_method_types payment_method_options "
        "expires_at automatic_tax tax_id_collection customer_update billing_address_collection",
    ),
    Route("get", "/v1/checkout/sessions/{session}", checkout_sessions.retrieve),
    Route("post", "/v1/checkout/sessions/{session}/expire", checkout_sessions.expire),
    Route("get", "/v1/payment_intents", payments.list_intents, f"{PAGED} customer"),
    Route(
        "post",
        "/v1/payment_intents",
        payments.create,
        "amount currency customer payment_method description metadata confirm off_session "
        "allowed_payment_method_types",
    ),
    Route("get", "/v1/payment_intents/{intent}", payments.retrieve),
    Route(
        "post",
        "/v1/payment_intents/{intent}/confirm",
        payments.confirm,
        "payment_method return_url off_session setup_future_usage",
    ),
    Route("get", "/v1/charges/{charge}", charges.retrieve),
    Route("get", "/v1/refunds", refunds.list_refunds, f"{PAGED} charge payment_intent"),
    Route("post", "/v1/refunds", refunds.create, "charge payment_intent amount reason metadata"),
    Route("get", "/v1/refunds/{refund}", refunds.retrieve),
    Route("get", "/v1/disputes", disputes.list_disputes, f"{PAGED} charge payment_intent"),
    Route("get", "/v1/disputes/{dispute}", disputes.retrieve),
    Route(
        "post",
        "/v1/subscriptions",
        subscriptions.create,
        "customer items metadata default_payment_method payment_behavior automatic_tax billing_mode",
    ),
    Route("get", "/v1/subscriptions/{subscription_exposed_id}", subscriptions.retrieve),
    Route(
        "post",
        "/v1/subscriptions/{subscription_exposed_id}",
        subscriptions.update,
        "items metadata proration_behavior proration_date billing_cycle_anchor cancel_at_period_end "
        "default_payment_method payment_behavior cancellation_details pause_collection",
    ),
    Route("delete", "/v1/subscriptions/{subscription_exposed_id}", subscriptions.cancel),
    Route("post", "/v1/subscriptions/{subscription}/migrate", subscriptions.migrate, "billing_mode"),
    Route(
        "post",
        "/v1/invoices/create_preview",
        subscriptions.preview_change,
        "customer subscription subscription_details",
    ),
    Route("get", "/v1/invoices", invoice_actions.list_invoices, f"{PAGED} customer subscription status"),
    Route("get", "/v1/invoices/{invoice}", invoices.retrieve),
    Route("post", "/v1/invoices/{invoice}/finalize", invoice_actions.finalize),
    Route("post", "/v1/invoices/{invoice}/mark_uncollectible", invoice_actions.mark_uncollectible),
    Route("post", "/v1/invoices/{invoice}/pay", invoices.pay, "payment_method off_session"),
    Route("get", "/v1/invoice_payments", invoices.list_payments, f"{PAGED} invoice payment"),
    Route("post", "/v1/invoices/{invoice}/void", invoices.void_open),
    Route("get", "/v1/events", events.list_events, PAGED),
    Route("post", "/v1/test_helpers/test_clocks", clocks.create, "frozen_time name"),
    Route("get", "/v1/test_helpers/test_clocks/{test_clock}", clocks.retrieve),
    Route("delete", "/v1/test_helpers/test_clocks/{test_clock}", renewals.delete_clock),
    Route("post", "/v1/test_helpers/test_clocks/{test_clock}/advance", renewals.advance_clock, "frozen_time"),
)


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str], Route]]:
    # Fixed paths before paths with ids: /v1/invoices/create_preview is not the id of an invoice.
    ordered = sorted(ROUTES, key=lambda route: route.path.count("{"))
    return [
        (route.method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path) + r"\Z"), route)
        for route in ordered
    ]


def match(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the ids in its path; None when the sandbox has no such endpoint."""
    for route_method, pattern, route in _patterns():
        if route_method == method and (found := pattern.match(path)):
            return route, found.groupdict()
    return None
