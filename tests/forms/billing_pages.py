"""The forms of the portal about money: purchases, codes, refunds, alerts, automatic top-up, invoices."""

from decimal import Decimal
from typing import Any

from billing.models import (
    AlertSettings,
    AutoTopUp,
    BillingProfile,
    MonthlyBudget,
    Purchase,
    Redemption,
    Refund,
)
from billing.views import forms as billing_forms
from tests.forms.page import Page
from tests.forms.rows import ABSENT, CREDITS_ROWS, Row, fields, refused, text_rows
from tests.forms.world import World


def _purchase(world: World) -> dict[str, Any]:
    newest = Purchase.objects.filter(account=world.account).exclude(pk=world.purchase.pk).first()
    return fields(
        newest,
        "currency quantity",
        pack=lambda purchase: purchase.offer,
        code=lambda purchase: purchase.promotion_code,
        key=lambda purchase: purchase.idempotency_key,
        shown=lambda purchase: purchase.list_amount // purchase.quantity,
    )


def _redemption(world: World) -> dict[str, Any]:
    newest = Redemption.objects.filter(account=world.account).first()
    return fields(newest, "", code=lambda redemption: redemption.promotion.code) if newest else {}


def _refund(world: World) -> dict[str, Any]:
    newest = Refund.objects.filter(purchase=world.purchase).first()
    return fields(newest, "", comment=lambda refund: refund.buyer_reason) if newest else {}


def _alert(world: World) -> dict[str, Any]:
    return fields(
        AlertSettings.objects.filter(pk=world.account.pk).first(),
        "enabled below also_below by_email extra_addresses",
    )


def _monthly_budget(world: World) -> dict[str, Any]:
    budget = MonthlyBudget.objects.filter(pk=world.account.pk).first()
    return {"credits": budget.credits if budget else None, "pauses": budget.pauses if budget else True}


def _top_up(world: World) -> dict[str, Any]:
    return fields(
        AutoTopUp.objects.filter(pk=world.account.pk).first(),
        "enabled below pack monthly_count monthly_amount",
    )


def _invoice(world: World) -> dict[str, Any]:
    profile = BillingProfile.objects.filter(pk=world.account.pk).first()
    return fields(profile, "invoice_name invoice_address tax_id")


PAGES = [
    Page(
        billing_forms.PurchaseForm,
        "/billing/buy/{pack}/",
        {
            "pack": "small",
            "currency": "usd",
            "quantity": "1",
            "code": "",
            "key": "0f" * 16,
            "shown": "500",
        },
        _purchase,
        {
            "pack": [
                Row("small", "small"),
                refused("nothing", "not available", field="banner"),
                refused("", "not available", field="banner"),
            ],
            "currency": [
                Row("usd", "usd"),
                Row("USD", "usd"),
                refused("xxx", "no price in this currency", field="banner"),
                refused("usdollar", "no price in this currency", field="banner"),
            ],
            "quantity": [
                Row("1", 1),
                Row("3", 3),
                Row("100", 100),
                refused("101", "less than or equal to 100"),
                refused("0", "greater than or equal to 1"),
                refused("-1", "greater than or equal to 1"),
                refused("1.5", "whole number"),
                refused("", "required"),
            ],
            "code": [
                Row("", ""),
                Row("half", "HALF"),
                Row(" HALF ", "HALF"),
                refused("NOTHING", "does not exist"),
                refused("GIFT", "This code gives credits"),
                refused("x" * 41, "at most 40 characters"),
            ],
            "key": [
                Row("1e" * 16, "page:" + "1e1e1e1e-1e1e-1e1e-1e1e-1e1e1e1e1e1e"),
                refused("", "required"),
                refused("not-a-uuid", "Enter a valid UUID"),
            ],
            "shown": [
                Row("500", 500),
                Row(ABSENT, 500),
                refused("499", "The price has changed", field="banner"),
                refused("-1", "greater than or equal to 0"),
                refused("many", "whole number"),
            ],
        },
        target="/billing/purchases/new/",
        accepted=303,
        hidden=("key", "shown"),
        shows_again=False,
        one_use=True,
    ),
    Page(
        billing_forms.CodeForm,
        "/billing/redeem/",
        {"code": "GIFT"},
        _redemption,
        {
            "code": [
                Row("GIFT", "GIFT"),
                Row(" gift ", "GIFT"),
                refused("", "required"),
                refused("NOTHING", "does not exist"),
                refused("HALF", "This is a discount code"),
                refused("x" * 41, "at most 40 characters"),
            ]
        },
        shows_again=False,
        one_use=True,
    ),
    Page(
        billing_forms.RefundForm,
        "/billing/purchases/{purchase}/refund/",
        {"comment": "Too many"},
        _refund,
        {
            "comment": [
                Row("Ada", "Ada"),
                Row("", ""),
                Row(ABSENT, ""),
                Row("x" * 1000, "x" * 1000),
                refused("x" * 1001, "at most 1000 characters"),
            ]
        },
        shows_again=False,
        one_use=True,
    ),
    Page(
        billing_forms.AlertForm,
        "/billing/alerts/",
        {"enabled": "on", "below": "10", "also_below": "", "by_email": "on", "extra_addresses": ""},
        _alert,
        {
            "enabled": [Row("on", True, shown=True), Row(ABSENT, False, shown=False)],
            "below": CREDITS_ROWS,
            "also_below": [
                Row("", []),
                Row("5, 20,", [Decimal(20), Decimal(5)], shown="20, 5"),
                Row("4,3,2,1", [Decimal(n) for n in (4, 3, 2, 1)], shown="4, 3, 2, 1"),
                refused("5,4,3,2,1", "at most four"),
                refused("5, 0", "“0” is not a valid amount"),
                refused("x" * 101, "at most 100 characters"),
            ],
            "by_email": [Row(ABSENT, False, shown=False), Row("on", True, shown=True)],
            "extra_addresses": [
                Row("", []),
                Row("a@example.org", ["a@example.org"]),
                Row(
                    " a@example.org ,, b@example.org,",
                    ["a@example.org", "b@example.org"],
                    shown="a@example.org, b@example.org",
                ),
                Row(
                    ",".join(f"{n}@example.org" for n in "123456"),
                    [f"{n}@example.org" for n in "12345"],
                    shown=", ".join(f"{n}@example.org" for n in "12345"),
                ),
                refused("a@example.org, nobody", "“nobody” is not an e-mail address"),
                refused("x" * 501, "at most 500 characters"),
            ],
        },
    ),
    Page(
        billing_forms.MonthlyBudgetForm,
        "/billing/budget/",
        {"credits": "500", "pauses": "on"},
        _monthly_budget,
        {
            "credits": [
                Row("", None),
                Row("2.5", Decimal("2.5")),
                Row("1000000000", Decimal(10**9)),
                refused("1000000000.000001", "The largest amount is 1000000000"),
                refused("0", "not a valid amount"),
                refused("-1", "not a valid amount"),
                refused("many", "not a valid amount"),
            ],
            "pauses": [Row("on", True, shown=True), Row(ABSENT, False, shown=False)],
        },
    ),
    Page(
        billing_forms.AutoTopUpForm,
        "/billing/auto-top-up/",
        {"enabled": "on", "below": "10", "pack": "small", "monthly_count": "2", "monthly_amount": "20.00"},
        _top_up,
        {
            "enabled": [Row("on", True, shown=True), Row(ABSENT, False, shown=False)],
            "below": [
                *[row for row in CREDITS_ROWS if row.given != "1000000000"],
                refused("1000000000", "higher than the credits of one pack"),
                Row("500", Decimal(500)),
                refused("500.000001", "Enter at most 500"),
            ],
            "pack": [
                Row("small", "small"),
                Row("medium", "medium"),
                refused("nothing", "not one of the available choices"),
                refused("", "required"),
            ],
            "monthly_count": [
                Row("1", 1, shown=1),
                Row("5", 5, shown=5),
                refused("6", "less than or equal to 5"),
                refused("0", "greater than or equal to 1"),
                refused("", "required"),
            ],
            "monthly_amount": [
                Row("20.00", 2000),
                Row("20", 2000, shown="20.00"),
                Row("20.5", 2050, shown="20.50"),
                Row("5.00", 500),
                refused("4.99", "lower than the price of one pack"),
                refused("20.001", "Remove some decimals"),
                refused("-1", "greater than or equal to 0"),
                refused("20.0001", "no more than 3 decimal places"),
                refused("", "required"),
            ],
        },
    ),
    Page(
        billing_forms.InvoiceDetailsForm,
        "/billing/details/",
        {"invoice_name": "Wonderland Ltd", "invoice_address": "1 Rabbit Hole", "tax_id": "GB123"},
        _invoice,
        {
            "invoice_name": text_rows(200, required=False),
            "invoice_address": [
                *text_rows(500, required=False),
                Row("1 Rabbit Hole\r\nWonderland", "1 Rabbit Hole\r\nWonderland"),
            ],
            "tax_id": text_rows(60, required=False),
        },
    ),
]
