"""The debits of a subscription item that flexible billing mode credits when its price changes.

Invariant: a debit is credited once, at the amount that was invoiced, whatever the price has become since.
https://docs.stripe.com/billing/subscriptions/prorations#credit-prorations
"""

from sandbox import store
from sandbox.store import Body


def open_debits(subscription: Body, item: Body) -> list[Body]:
    """The invoice lines of the item's current period that no later line has credited, oldest first.

    Lines of void invoices count as neither, nor does the invoice of a pending update, which may never apply.
    """
    lines = [line for invoice in _invoices(subscription) for line in invoice["lines"]["data"]]
    credited = {name for line in lines for name in _credited_by(line)}
    return [
        line
        for line in lines
        if line["amount"] > 0
        and line["id"] not in credited
        and _item_of(line) == item["id"]
        and item["current_period_start"] <= line["period"]["start"]
        and line["period"]["end"] == item["current_period_end"]
    ]


def _invoices(subscription: Body) -> list[Body]:
    return [
        invoice
        for invoice in reversed(store.where("invoice", customer=subscription["customer"]))
        if invoice["status"] != "void"
        and invoice["id"] != subscription.get("_pending_invoice")
        and invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
    ]


def _item_of(line: Body) -> str | None:
    details = (line["parent"] or {}).get("subscription_item_details")
    return details["subscription_item"] if details else None


def _credited_by(line: Body) -> list[str]:
    details = (line["parent"] or {}).get("subscription_item_details") or {}
    items = (details.get("proration_details") or {}).get("credited_items")
    return items["invoice_line_items"] if items else []
