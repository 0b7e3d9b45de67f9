"""Routes for what is paid again and again: subscriptions, schedules, invoices, the portal, test clocks."""

from sandbox.api.route import PAGED, PAGED_ONLY, Route
from sandbox.objects import (
    clock_api,
    invoice_api,
    invoice_items,
    invoice_previews,
    portal_sessions,
    schedules,
    subscription_changes,
    subscriptions,
)

SUBSCRIPTION_CHANGE = (
    "items metadata proration_behavior proration_date billing_cycle_anchor cancel_at_period_end cancel_at "
    "cancellation_details default_payment_method description payment_behavior off_session trial_end"
)
ROUTES = (
    Route(
        "get",
        "/v1/subscriptions",
        subscriptions.list_subscriptions,
        f"{PAGED} customer status price test_clock collection_method",
    ),
    Route(
        "post",
        "/v1/subscriptions",
        subscriptions.create,
        "customer items metadata default_payment_method description discounts payment_behavior off_session "
        "trial_period_days trial_end payment_settings cancel_at_period_end",
    ),
    Route("get", "/v1/subscriptions/{subscription_exposed_id}", subscriptions.retrieve),
    Route(
        "post",
        "/v1/subscriptions/{subscription_exposed_id}",
        subscription_changes.update,
        SUBSCRIPTION_CHANGE,
    ),
    Route(
        "delete",
        "/v1/subscriptions/{subscription_exposed_id}",
        subscription_changes.cancel,
        "invoice_now prorate cancellation_details",
    ),
    Route("get", "/v1/subscription_schedules", schedules.list_schedules, f"{PAGED} customer"),
    Route("post", "/v1/subscription_schedules", schedules.create, "from_subscription metadata"),
    Route("get", "/v1/subscription_schedules/{schedule}", schedules.retrieve),
    Route(
        "post",
        "/v1/subscription_schedules/{schedule}",
        schedules.update,
        "phases end_behavior metadata",
    ),
    Route("post", "/v1/subscription_schedules/{schedule}/release", schedules.release),
    Route("post", "/v1/subscription_schedules/{schedule}/cancel", schedules.cancel),
    Route(
        "get",
        "/v1/invoices",
        invoice_api.list_invoices,
        f"{PAGED} customer subscription status collection_method",
    ),
    Route(
        "post",
        "/v1/invoices",
        invoice_api.create,
        "customer description metadata currency",
    ),
    Route(
        "post",
        "/v1/invoices/create_preview",
        invoice_previews.create,
        "customer subscription subscription_details",
    ),
    Route("get", "/v1/invoices/{invoice}", invoice_api.retrieve),
    Route(
        "post",
        "/v1/invoices/{invoice}",
        invoice_api.update,
        "metadata description auto_advance default_payment_method",
    ),
    Route("post", "/v1/invoices/{invoice}/finalize", invoice_api.finalize, "auto_advance"),
    Route("post", "/v1/invoices/{invoice}/pay", invoice_api.pay, "payment_method off_session"),
    Route("post", "/v1/invoices/{invoice}/void", invoice_api.void),
    Route("get", "/v1/invoices/{invoice}/lines", invoice_api.list_lines, PAGED_ONLY),
    Route("get", "/v1/invoice_payments", invoice_api.list_payments, f"{PAGED} invoice payment status"),
    Route("get", "/v1/invoice_payments/{invoice_payment}", invoice_api.retrieve_payment),
    Route("get", "/v1/invoiceitems", invoice_items.list_items, f"{PAGED} customer invoice"),
    Route(
        "post",
        "/v1/invoiceitems",
        invoice_items.create,
        "customer amount currency description metadata subscription",
    ),
    Route("get", "/v1/invoiceitems/{invoiceitem}", invoice_items.retrieve),
    Route(
        "post",
        "/v1/billing_portal/sessions",
        portal_sessions.create,
        "customer return_url flow_data locale configuration",
    ),
    Route("get", "/v1/test_helpers/test_clocks", clock_api.list_clocks, PAGED_ONLY),
    Route("post", "/v1/test_helpers/test_clocks", clock_api.create, "frozen_time name"),
    Route("get", "/v1/test_helpers/test_clocks/{test_clock}", clock_api.retrieve),
    Route("post", "/v1/test_helpers/test_clocks/{test_clock}/advance", clock_api.advance, "frozen_time"),
    Route("delete", "/v1/test_helpers/test_clocks/{test_clock}", clock_api.delete),
)
