"""The forms of the portal: every field with the values that are sent and what is stored, shown or refused.

`PAGES` has one `Page` for each form that is posted. A field of a form without rows fails the suite, and so
does a form of the product in no table (tests/forms/test_complete.py).

A row is a value that is sent in place of the field's value in `valid`:
  Row("12.50", 12_50)              is stored as 1250, and shown again as "12.50"
  Row("12.50", 12_50, shown="…")   is shown in another notation
  Row(ABSENT, False)               the field is not sent, as browsers do with an unchecked box
  refused("-1", "greater than")    an error beside this field that contains the words; nothing is stored
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms

from accounts import forms as account_forms
from accounts.models import ApiKey, ProviderKey
from accounts.provider_keys import secret_of
from billing.models import AlertSettings, AutoTopUp, BillingProfile, Limit, Purchase, Redemption, Refund
from billing.views import forms as billing_forms
from tests.forms.world import World
from usage.models import ChargeReport
from usage.views import forms as usage_forms

ABSENT = object()
SAME = object()  # shown as it was sent
NOT_SHOWN = object()


@dataclass(frozen=True)
class Row:
    given: Any
    stored: Any = None
    shown: Any = SAME
    error: str = ""
    field: str = ""
    """Where the error is: another field, or "banner", above the form. Empty: beside the field itself."""


def refused(given: Any, words: str, *, field: str = "") -> Row:
    return Row(given, error=words, field=field)


@dataclass(frozen=True)
class Page:
    """A form with the page that shows it and takes it."""

    form: type[forms.BaseForm]
    path: str
    valid: dict[str, Any]
    stored: Callable[[World], dict[str, Any]]
    rows: dict[str, list[Row]]
    world: Callable[[World], None] = lambda world: None
    """What the page needs before the form is sent."""
    roles: tuple[str, ...] = ("owner", "billing")
    context: str = "form"
    target: str = ""
    """Where the form is sent, when it is not the page itself."""
    accepted: int = 302
    key: str = ""
    """A second form of one class has a name of its own."""
    shows_again: bool = True
    one_use: bool = False
    """Whether the form can be accepted once, so that each row starts anew."""
    hidden: tuple[str, ...] = ()
    """Fields that nobody enters, so that the page has no place for their errors."""

    @property
    def name(self) -> str:
        return self.key or self.form.__name__


def _fields(model: Any, names: str, **convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The named values of a stored row; empty when there is none."""
    if model is None:
        return {}
    return {name: getattr(model, name) for name in names.split()} | {
        name: read(model) for name, read in convert.items()
    }


def text_rows(longest: int, *, required: bool = True, blank: Any = "") -> list[Row]:
    """A text: of the longest length, one above it, empty, with spaces around it, with a null character."""
    return [
        Row("Ada Lovelace", "Ada Lovelace"),
        Row("x" * longest, "x" * longest),
        refused("x" * (longest + 1), f"at most {longest} characters"),
        refused("", "required") if required else Row("", blank),
        Row("  spaces around  ", "spaces around", shown="spaces around"),
        refused("a\0b", "Null characters"),
    ]


CREDITS_ROWS = [
    Row("0", Decimal(0)),
    Row("12.5", Decimal("12.5")),
    Row("0.000001", Decimal("0.000001")),
    Row("1000000000", Decimal(10**9)),
    refused("1000000000.000001", "less than or equal to 1000000000"),
    refused("0.0000001", "6 decimal places"),
    refused("-0.000001", "greater than or equal to 0"),
    refused("", "required"),
    refused("many", "Enter a number"),
    refused("NaN", "Enter a number"),
]


def _profile(world: World) -> dict[str, Any]:
    world.user.refresh_from_db()
    return _fields(world.user, "first_name last_name language")


def _account(world: World) -> dict[str, Any]:
    world.account.refresh_from_db()
    return _fields(world.account, "name zone")


def _key(world: World) -> dict[str, Any]:
    newest = ApiKey.objects.filter(account=world.account).order_by("created_at", "pk").last()
    return _fields(newest, "name scopes", once=lambda key: "used")


def _provider_key(world: World) -> dict[str, Any]:
    newest = ProviderKey.objects.filter(account=world.account).order_by("created_at").last()
    return _fields(newest, "provider", secret=secret_of) if newest else {}


def _project(world: World) -> dict[str, Any]:
    world.project.refresh_from_db()
    limit = Limit.objects.filter(account=world.account, subject=str(world.project.pk)).first()
    assert world.project.daily_limit == (limit.maximum if limit else None)
    return _fields(world.project, "name daily_limit")


def _new_project(world: World) -> dict[str, Any]:
    newest = world.account.projects.exclude(pk=world.project.pk).order_by("created_at", "pk").last()
    return _fields(newest, "name daily_limit")


def _report(world: World) -> dict[str, Any]:
    return _fields(ChargeReport.objects.filter(account=world.account).first(), "reason")


def _purchase(world: World) -> dict[str, Any]:
    newest = Purchase.objects.filter(account=world.account).exclude(pk=world.purchase.pk).first()
    return _fields(
        newest,
        "currency quantity",
        pack=lambda purchase: purchase.offer,
        code=lambda purchase: purchase.promotion_code,
        key=lambda purchase: purchase.idempotency_key,
        shown=lambda purchase: purchase.list_amount // purchase.quantity,
    )


def _redemption(world: World) -> dict[str, Any]:
    newest = Redemption.objects.filter(account=world.account).first()
    return _fields(newest, "", code=lambda redemption: redemption.promotion.code) if newest else {}


def _refund(world: World) -> dict[str, Any]:
    newest = Refund.objects.filter(purchase=world.purchase).first()
    return _fields(newest, "", comment=lambda refund: refund.buyer_reason) if newest else {}


def _alert(world: World) -> dict[str, Any]:
    return _fields(
        AlertSettings.objects.filter(pk=world.account.pk).first(), "enabled below by_email extra_addresses"
    )


def _top_up(world: World) -> dict[str, Any]:
    return _fields(
        AutoTopUp.objects.filter(pk=world.account.pk).first(),
        "enabled below pack monthly_count monthly_amount",
    )


def _invoice(world: World) -> dict[str, Any]:
    profile = BillingProfile.objects.filter(pk=world.account.pk).first()
    return _fields(profile, "invoice_name invoice_address tax_id")


PROJECT_NAME = [*text_rows(100)[:3], refused("", "Enter a name"), *text_rows(100)[4:]]
PROJECT_LIMIT = [
    Row("250", Decimal(250)),
    Row("2.5", Decimal("2.5")),
    Row("0.000001", Decimal("0.000001")),
    Row("1000000000", Decimal(10**9)),
    refused("1000000000.1", "The largest amount is 1000000000"),
    Row("", None),
    Row(ABSENT, None, shown=""),
    refused("0", "not a valid amount"),
    refused("-1", "not a valid amount"),
    refused("1,000", "not a valid amount"),
    refused("0.0000001", "not a valid amount"),
]

PAGES = [
    Page(
        account_forms.ProfileForm,
        "/settings/",
        {"first_name": "Alice", "last_name": "Liddell", "language": "en"},
        _profile,
        {
            "first_name": text_rows(150, required=False),
            "last_name": text_rows(150, required=False),
            "language": [Row("en", "en"), refused("xx", "not available"), refused("", "required")],
        },
        roles=("owner", "billing", "member"),
        context="profile_form",
    ),
    Page(
        account_forms.AccountForm,
        "/settings/",
        {"name": "Looking Glass", "zone": "UTC"},
        _account,
        {
            "name": text_rows(200),
            "zone": [
                Row("Europe/Berlin", "Europe/Berlin"),
                Row("America/New_York", "America/New_York"),
                Row("UTC", "UTC"),
                refused("Mars/Phobos", "“Mars/Phobos” is not a known time zone"),
                refused("europe/berlin", "not a known time zone"),
                refused("", "required"),
            ],
        },
        context="account_form",
        target="/settings/account/",
    ),
    Page(
        account_forms.KeyForm,
        "/keys/",
        {"once": "", "name": "Server", "scopes": ["read"]},
        _key,
        {
            "once": [
                Row("a" * 32, "used"),
                Row("", "used"),
                refused("x" * 33, "at most 32 characters"),
            ],
            "name": text_rows(100),
            "scopes": [
                Row(["read"], ["read"]),
                Row(["manage", "spend", "read"], ["read", "spend", "manage"]),
                refused([], "Choose at least one scope"),
                refused(["everything"], "not one of the available choices"),
            ],
        },
        accepted=200,
        hidden=("once",),
        shows_again=False,
        one_use=True,
    ),
    Page(
        account_forms.ProviderKeyForm,
        "/provider-keys/",
        {"provider": "openai", "secret": "sk-0123456789"},
        _provider_key,
        {
            "provider": [
                Row("openai", "openai"),
                Row("openrouter", "openrouter"),
                refused("unknown", "not one of the available choices"),
                refused("", "required"),
            ],
            "secret": [
                Row("12345678", "12345678"),
                Row("x" * 400, "x" * 400),
                Row("  sk-with-spaces-around  ", "sk-with-spaces-around"),
                refused("1234567", "too short"),
                refused("x" * 401, "at most 400 characters"),
                refused("", "required"),
                refused("with a space", "not allowed"),
                refused("umlaut-ä-in-it", "not allowed"),
                refused("tab\tin-it-12", "not allowed"),
            ],
        },
        shows_again=False,
    ),
    Page(
        usage_forms.ProjectForm,
        "/projects/{project}/",
        {"name": "Chat", "daily_limit": "5"},
        _project,
        {
            "name": [*PROJECT_NAME, refused("Taken", "already exists")],
            "daily_limit": PROJECT_LIMIT,
        },
    ),
    Page(
        usage_forms.ProjectForm,
        "/projects/",
        {"name": "Chat", "daily_limit": "5"},
        _new_project,
        {
            "name": [*PROJECT_NAME, refused("Taken", "already exists")],
            "daily_limit": PROJECT_LIMIT,
        },
        key="ProjectForm for a new project",
        shows_again=False,
        one_use=True,
    ),
    Page(
        usage_forms.ReportForm,
        "/charges/{charge}/",
        {"reason": "Too much"},
        _report,
        {
            "reason": [
                Row("Ada", "Ada"),
                Row("x" * 2000, "x" * 2000),
                refused("x" * 2001, "at most 2000 characters"),
                refused("", "Describe the problem"),
                refused("   ", "Describe the problem"),
            ]
        },
        target="/charges/{charge}/report/",
        roles=("owner", "billing", "member"),
        shows_again=False,
        one_use=True,
    ),
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
        {"enabled": "on", "below": "10", "by_email": "on", "extra_addresses": ""},
        _alert,
        {
            "enabled": [Row("on", True, shown=True), Row(ABSENT, False, shown=False)],
            "below": CREDITS_ROWS,
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
