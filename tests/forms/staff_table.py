"""The forms and actions of staff in the admin: the permission each needs, and every field with its values.

`FORMS` has one `StaffForm` for each form; `ACTIONS` has what staff do to selected rows without a form. Rows
are those of tests/forms/table.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone

from accounts import admin_forms
from accounts.models import Account, ApiKey, Membership, User
from billing.models import Promotion, Purchase, Refund, StripePrice, Subscription
from billing.staff import promotions, purchases, stripe_prices, subscriptions
from pricing import admin_forms as pricing_forms
from pricing.catalogue import rate_cards
from pricing.models import Rate, RateCard
from tests.forms.table import ABSENT, Row, _fields, refused, text_rows
from tests.forms.world import World
from usage.charges import reports
from usage.models import ChargeReport
from usage.staff.reports import AnswerForm

SPAN = {
    "starts_at_0": "2026-01-01",
    "starts_at_1": "00:00:00",
    "ends_at_0": "2030-01-01",
    "ends_at_1": "00:00:00",
}


@dataclass(frozen=True)
class StaffForm:
    form: type[forms.BaseForm]
    needs: str
    """The permission that the action needs, such as "accounts.change_user"."""
    path: Callable[[World], str]
    valid: dict[str, Any]
    stored: Callable[[World], dict[str, Any]]
    rows: dict[str, list[Row]]
    world: Callable[[World], None] = lambda world: None
    accepted: int = 302
    key: str = ""
    superuser: tuple[str, ...] = ()
    """Fields that only a superuser may change."""

    @property
    def name(self) -> str:
        return self.key or self.form.__name__


def _at(pattern: str, of: Callable[[World], Any]) -> Callable[[World], str]:
    return lambda world: pattern.format(pk=of(world).pk)


def _user(world: World) -> User:
    return User.objects.get(email="charlie@example.org")


def _new_user(world: World) -> dict[str, Any]:
    return _fields(User.objects.order_by("date_joined", "pk").last(), "email first_name last_name")


def _changed_user(world: World) -> dict[str, Any]:
    return _fields(
        _user(world),
        "first_name last_name language is_active is_staff is_superuser",
        groups=lambda user: list(user.groups.values_list("pk", flat=True)),
        user_permissions=lambda user: list(user.user_permissions.values_list("codename", flat=True)),
    )


def _changed_account(world: World) -> dict[str, Any]:
    return _fields(Account.objects.get(pk=world.account.pk), "name external_id zone")


def _platform_key(world: World) -> dict[str, Any]:
    return _fields(ApiKey.objects.filter(kind="platform").order_by("created_at", "pk").last(), "name scopes")


def _membership(world: World) -> Membership:
    return Membership.objects.get(account=world.account, user__email="bob@example.org")


def _new_membership(world: World) -> dict[str, Any]:
    newest = Membership.objects.order_by("pk").last()
    return _fields(newest, "role", account=lambda m: str(m.account_id), user=lambda m: m.user.email)


def _promotion(world: World) -> dict[str, Any]:
    names = "code label gives credits services lasts percent_off packs plans total_limit per_account"
    newest = Promotion.objects.exclude(code__in=["HALF", "GIFT"]).filter(from_catalogue=False).first()
    return _fields(
        newest,
        names,
        starts_at=lambda promotion: f"{promotion.starts_at:%Y-%m-%d}",
        ends_at=lambda promotion: f"{promotion.ends_at:%Y-%m-%d}",
    )


def quarantined(world: World) -> None:
    Purchase.objects.filter(pk=world.purchase.pk).update(status=Purchase.Status.QUARANTINED, paid_at=None)


def _released(world: World) -> dict[str, Any]:
    purchase = Purchase.objects.get(pk=world.purchase.pk)
    return {"reason": purchase.status}


def requested(world: World) -> None:
    Refund.objects.create(
        account=world.account,
        purchase=world.purchase,
        amount=500,
        currency="usd",
        credits=500,
        created_at=timezone.now(),
    )


def _refund(world: World) -> Refund:
    return Refund.objects.get(account=world.account)


def _decided(world: World) -> dict[str, Any]:
    return _fields(_refund(world), "status decided_by", reason=lambda refund: refund.decision)


def _plan(world: World) -> dict[str, Any]:
    current = Subscription.objects.get(account=world.account)
    return {"plan": current.plan, "reason": current.plan}


def price_without_plan(world: World) -> None:
    StripePrice.objects.create(
        stripe_account="acct_1/test",
        stripe_price_id="price_81",
        interval="month",
        currency="usd",
        amount=990,
    )


def reported(world: World) -> None:
    reports.open_report(world.charge, reason="?", reporter_id=world.user.pk, now=timezone.now())


def _answer(world: World) -> dict[str, Any]:
    report = ChargeReport.objects.get()
    world.charge.refresh_from_db()
    return {"answer": report.answer, "return_credits": report.status, "part": world.charge.returned}


def draft(world: World) -> None:
    now = timezone.now()
    rate_cards.copy_in_force(effective_at=now + timedelta(days=400), source="staff", now=now)


def _draft(world: World) -> RateCard:
    return RateCard.objects.get(state="draft")


def _rate(world: World) -> Rate:
    return Rate.objects.get(card=_draft(world), service__key="claude-sonnet-4")


def _changed_rate(world: World) -> dict[str, Any]:
    return _fields(
        _rate(world),
        "minimum multiplier cost_of_model assumed reason",
        lines=lambda rate: [(line["meter"], line["per"], line["bands"]) for line in rate.lines],
        options=lambda rate: rate.options,
    )


def _new_draft(world: World) -> dict[str, Any]:
    card = RateCard.objects.filter(state="draft").first()
    return _fields(card, "note", effective_at=lambda card: f"{card.effective_at:%Y-%m-%d}") if card else {}


LINE = '[{"meter": "tokens", "credits": "11", "per": 5000}]'
STORED_LINE = [("tokens", 5000, [{"up_to": None, "credits": "11"}])]

FORMS = [
    StaffForm(
        admin_forms.PersonCreation,
        "accounts.add_user",
        lambda world: "/admin/accounts/user/add/",
        {"email": "dora@example.org", "first_name": "Dora", "last_name": "Maar"},
        _new_user,
        {
            "email": [
                Row("dora@example.org", "dora@example.org"),
                Row("Erik@Example.ORG", "erik@example.org"),
                refused("", "required"),
                refused("nobody", "valid email"),
                refused("alice@example.org", "already exists"),
                refused("ALICE@example.org", "already exists"),
            ],
            "first_name": [Row("Dora", "Dora"), Row("", ""), refused("x" * 151, "at most 150")],
            "last_name": [Row("Maar", "Maar"), Row("", ""), refused("x" * 151, "at most 150")],
        },
    ),
    StaffForm(
        forms.ModelForm,
        "accounts.change_user",
        _at("/admin/accounts/user/{pk}/change/", _user),
        {"first_name": "Charlie", "last_name": "B", "language": "en", "is_active": "on"},
        _changed_user,
        {
            "first_name": [Row("Charlie", "Charlie"), Row("", ""), refused("x" * 151, "at most 150")],
            "last_name": [Row("B", "B"), Row("", ""), refused("x" * 151, "at most 150")],
            "language": [Row("en", "en"), Row("de", "de"), refused("", "required"), refused("x" * 11, "10")],
            "is_active": [Row("on", True), Row(ABSENT, False)],
            "is_staff": [Row("on", True), Row(ABSENT, False)],
            "is_superuser": [Row("on", True), Row(ABSENT, False)],
            "groups": [Row([], []), refused(["9999"], "valid choice")],
            "user_permissions": [Row([], []), refused(["999999"], "valid choice")],
        },
        key="a user",
        superuser=("is_staff", "is_superuser", "groups", "user_permissions"),
    ),
    StaffForm(
        admin_forms.AccountChange,
        "accounts.change_account",
        _at("/admin/accounts/account/{pk}/change/", lambda world: world.account),
        {"name": "Looking Glass", "external_id": "our-1", "zone": "Europe/Berlin"},
        _changed_account,
        {
            "name": [
                Row("Looking Glass", "Looking Glass"),
                refused("x" * 201, "at most 200 characters"),
                refused("", "required"),
            ],
            "external_id": [
                Row("our-1", "our-1"),
                Row("", None),
                Row("x" * 255, "x" * 255),
                refused("x" * 256, "at most 255 characters"),
                refused("team/1", "cannot contain a slash"),
                refused("acct_" + "0" * 32, "cannot have the form of an id"),
            ],
            "zone": [
                Row("Europe/Berlin", "Europe/Berlin"),
                Row("UTC", "UTC"),
                refused("Mars/Phobos", "not a known time zone"),
                refused("europe/berlin", "not a known time zone"),
                refused("", "required"),
            ],
        },
    ),
    StaffForm(
        admin_forms.PlatformKey,
        "accounts.add_apikey",
        lambda world: "/admin/accounts/apikey/add/",
        {"name": "Backend", "scopes": ["read"]},
        _platform_key,
        {
            "name": [*text_rows(100), Row("Backend", "Backend")],
            "scopes": [
                Row(["read"], ["read"]),
                Row(["manage", "spend"], ["spend", "manage"]),
                refused([], "Choose at least one scope"),
                refused(["all"], "not one of the available choices"),
            ],
        },
        accepted=200,
    ),
    StaffForm(
        forms.ModelForm,
        "accounts.change_membership",
        _at("/admin/accounts/membership/{pk}/change/", _membership),
        {"role": "billing"},
        lambda world: {"role": _membership(world).role},
        {
            "role": [
                Row("billing", "billing"),
                Row("owner", "owner"),
                Row("member", "member"),
                refused("king", "not one of the available choices"),
                refused("", "required"),
            ]
        },
        key="a membership",
    ),
    StaffForm(
        forms.ModelForm,
        "accounts.change_project",
        _at("/admin/accounts/project/{pk}/change/", lambda world: world.project),
        {"name": "Robot"},
        lambda world: {"name": type(world.project).objects.get(pk=world.project.pk).name},
        {"name": [*text_rows(100), Row("Robot", "Robot")]},
        key="a project",
    ),
    StaffForm(
        promotions.PromotionForm,
        "billing.add_promotion",
        lambda world: "/admin/billing/promotion/add/",
        {
            **{"code": "SPRING", "label": "Spring", "gives": "credits", "credits": "7", "lasts": "forever"},
            **{"percent_off": "0", "per_account": "1", "services": "", "packs": "", "plans": ""},
            **{"total_limit": "", **SPAN},
        },
        _promotion,
        {
            "code": [
                Row("SPRING", "SPRING"),
                Row(" spring ", "SPRING"),
                Row("X" * 40, "X" * 40),
                refused("X" * 41, "at most 40 characters"),
                refused("", "required"),
                refused("GIFT", "already exists"),
                refused("gift", "already exists"),
                refused("FRÜHLING", "without accents"),
            ],
            "label": [Row("Spring", "Spring"), refused("x" * 201, "at most 200"), refused("", "required")],
            "gives": [Row("credits", "credits"), refused("money", "valid choice"), refused("", "required")],
            "credits": [
                Row("7", Decimal(7)),
                Row("0.000001", Decimal("0.000001")),
                refused("0", "promotion_gives_something", field="banner"),
                refused("0.0000001", "6 decimal places"),
                refused("", "required"),
            ],
            "services": [
                Row("", None),
                Row("tag:core,gpt-4o", ["tag:core", "gpt-4o"]),
                refused("x" * 101, "at most 100 characters"),
            ],
            "lasts": [
                Row("forever", "forever"),
                Row("30 days", "30 days"),
                Row("1 day", "1 day"),
                Row("12 months", "12 months"),
                Row("1 year", "1 year"),
                refused("0 days", "such as “30 days”"),
                refused("period", "such as “30 days”"),
                refused("banana", "such as “30 days”"),
                refused("", "required"),
            ],
            "percent_off": [
                Row("0", 0),
                Row("100", 100),
                refused("101", "percent_within_hundred", field="banner"),
                refused("-1", "greater than or equal to 0"),
                refused("", "required"),
            ],
            "packs": [Row("", None), Row("small,large", ["small", "large"])],
            "plans": [Row("", None), Row("starter", ["starter"])],
            "starts_at": [Row("2026-01-01", "2026-01-01"), refused("", "required")],
            "ends_at": [
                Row("2030-01-01", "2030-01-01"),
                refused("2026-01-01", "not after the start"),
                refused("2025-01-01", "not after the start"),
                refused("", "required"),
            ],
            "total_limit": [Row("", None), Row("1", 1), refused("-1", "greater than or equal to 0")],
            "per_account": [Row("1", 1), Row("3", 3), refused("", "required")],
        },
    ),
    StaffForm(
        purchases.ReasonForm,
        "billing.change_purchase",
        _at("/admin/billing/purchase/{pk}/release/", lambda world: world.purchase),
        {"reason": "A cent of rounding"},
        _released,
        {
            "reason": [
                Row("A cent of rounding", Purchase.Status.PAID),
                Row("x" * 1000, Purchase.Status.PAID),
                refused("x" * 1001, "at most 1000 characters"),
                refused("", "required"),
                refused("  ", "required"),
            ]
        },
        world=quarantined,
        key="a quarantined payment",
    ),
    StaffForm(
        purchases.ReasonForm,
        "billing.change_refund",
        _at("/admin/billing/refund/{pk}/decide/", _refund),
        {"reason": "Too late", "choice": "refuse"},
        _decided,
        {
            "reason": [
                Row("Too late", "Too late"),
                Row("x" * 1000, "x" * 1000),
                refused("x" * 1001, "at most 1000 characters"),
                refused("", "required"),
            ]
        },
        world=requested,
        key="a refund",
    ),
    StaffForm(
        subscriptions.PlanForm,
        "billing.change_subscription",
        _at(
            "/admin/billing/subscription/{pk}/place/",
            lambda world: Subscription.objects.get(account=world.account),
        ),
        {"plan": "plus", "reason": "A friend of the house"},
        _plan,
        {
            "plan": [
                Row("plus", "plus"),
                refused("nothing", "not one of the available choices"),
                refused("", "required"),
            ],
            "reason": [Row("A friend of the house", "plus"), refused("", "required")],
        },
    ),
    StaffForm(
        stripe_prices.PlanOfPriceForm,
        "billing.change_stripeprice",
        _at("/admin/billing/stripeprice/{pk}/plan/", lambda world: StripePrice.objects.get()),
        {"plan": "starter"},
        lambda world: {"plan": StripePrice.objects.get().plan_key},
        {
            "plan": [
                Row("starter", "starter"),
                Row("plus", "plus"),
                refused("nothing", "not one of the available choices"),
                refused("", "required"),
            ]
        },
        world=price_without_plan,
    ),
    StaffForm(
        AnswerForm,
        "usage.change_chargereport",
        _at("/admin/usage/chargereport/{pk}/change/", lambda world: ChargeReport.objects.get()),
        {"answer": "Sorry", "return_credits": "part", "part": "0.5"},
        _answer,
        {
            "answer": [
                Row("Sorry", "Sorry"),
                Row("x" * 2000, "x" * 2000),
                refused("x" * 2001, "at most 2000 characters"),
                refused("", "Enter an answer"),
            ],
            "return_credits": [
                Row("part", "returned"),
                refused("everything", "not one of the available choices"),
                refused("nothing", "Choose “Return some credits”", field="part"),
                refused("all", "Choose “Return some credits”", field="part"),
            ],
            "part": [
                Row("0.5", Decimal("0.5")),
                Row(" 2 ", Decimal(2)),
                refused("", "not a valid amount"),
                refused("0", "not a valid amount"),
                refused("-1", "not a valid amount"),
                refused("1e0", "not a valid amount"),
            ],
        },
        world=reported,
    ),
    StaffForm(
        pricing_forms.DraftForm,
        "pricing.add_ratecard",
        lambda world: "/admin/pricing/ratecard/add/",
        {"effective_at_0": "2030-01-01", "effective_at_1": "00:00:00", "note": "New year"},
        _new_draft,
        {
            "effective_at": [Row("2030-01-01", "2030-01-01"), refused("", "required")],
            "note": [Row("New year", "New year"), Row("", "")],
        },
    ),
    StaffForm(
        pricing_forms.DraftForm,
        "pricing.change_ratecard",
        _at("/admin/pricing/ratecard/{pk}/change/", _draft),
        {"effective_at_0": "2030-01-01", "effective_at_1": "00:00:00", "note": "New year"},
        _new_draft,
        {
            "effective_at": [Row("2030-01-01", "2030-01-01"), refused("", "required")],
            "note": [Row("New year", "New year"), Row("", "")],
        },
        world=draft,
        key="a draft",
    ),
    StaffForm(
        pricing_forms.RateForm,
        "pricing.change_rate",
        _at("/admin/pricing/rate/{pk}/change/", _rate),
        {
            "lines": LINE,
            "options": "{}",
            "minimum": "0.5",
            "multiplier": "2",
            "reason": "From the price page",
            "assumed": "on",
        },
        _changed_rate,
        {
            "lines": [
                Row(LINE, STORED_LINE),
                Row(
                    '[{"meter": "seconds", "bands": [{"up_to": 5, "credits": "2"}, {"credits": "1"}]}]',
                    [("seconds", 1, [{"up_to": 5, "credits": "2"}, {"up_to": None, "credits": "1"}])],
                ),
                refused("[]", "Enter either price lines"),
                refused('[{"meter": "tokens", "credits": "-1"}]', "greater than or equal to 0"),
            ],
            "options": [
                Row("{}", {}),
                Row(
                    '{"quality": {"default": "high", "multipliers": {"low": "1", "high": "1.5"}}}',
                    {"quality": {"default": "high", "multipliers": {"low": "1", "high": "1.5"}}},
                ),
                Row('{"style": {}}', {"style": {"default": "", "multipliers": None}}),
                refused('{"quality": {"multipliers": {"low": "0"}, "default": "low"}}', "greater than 0"),
            ],
            "minimum": [
                Row("0.5", Decimal("0.5")),
                Row("0", Decimal(0)),
                refused("-0.1", "greater than or equal to 0"),
                refused("1000000001", "less than or equal to"),
                refused("", "required"),
            ],
            "multiplier": [
                Row("2", Decimal(2)),
                Row("0.000001", Decimal("0.000001")),
                refused("0", "greater than or equal to"),
                refused("", "required"),
            ],
            "cost_of_model": [Row(ABSENT, False), refused("on", "Enter either price lines", field="lines")],
            "assumed": [Row("on", True), Row(ABSENT, False)],
            "reason": [Row("From the price page", "From the price page"), refused("", "Enter the source")],
        },
        world=draft,
    ),
]
