"""The forms of staff about reported charges and rate cards."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from pricing import admin_forms as pricing_forms
from pricing.catalogue import rate_cards
from pricing.models import Rate, RateCard
from tests.forms.rows import Row, fields, refused
from tests.forms.staff_form import StaffForm, at
from tests.forms.world import World
from usage.charges import reports
from usage.models import ChargeReport
from usage.staff.reports import AnswerForm


def reported(world: World) -> None:
    reports.open_report(world.charge, reason="?", reporter_id=world.user.pk, now=timezone.now())


def _answer(world: World) -> dict[str, Any]:
    report = ChargeReport.objects.get()
    world.charge.refresh_from_db()
    return {"answer": report.answer, "return_credits": report.status, "part": world.charge.returned}


def draft(world: World) -> None:
    now = timezone.now()
    rate_cards.copy_in_force(effective_at=now + timedelta(days=400), source="staff", now=now)


def the_draft(world: World) -> RateCard:
    return RateCard.objects.get(state="draft")


def rate_of_draft(world: World) -> Rate:
    return Rate.objects.get(card=the_draft(world), service__key="claude-sonnet-4")


def _new_draft(world: World) -> dict[str, Any]:
    card = RateCard.objects.filter(state="draft").first()
    return fields(card, "note", effective_at=lambda card: f"{card.effective_at:%Y-%m-%d}") if card else {}


FORMS = [
    StaffForm(
        AnswerForm,
        "usage.change_chargereport",
        at("/admin/usage/chargereport/{pk}/change/", lambda world: ChargeReport.objects.get()),
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
        at("/admin/pricing/ratecard/{pk}/change/", the_draft),
        {"effective_at_0": "2030-01-01", "effective_at_1": "00:00:00", "note": "New year"},
        _new_draft,
        {
            "effective_at": [Row("2030-01-01", "2030-01-01"), refused("", "required")],
            "note": [Row("New year", "New year"), Row("", "")],
        },
        world=draft,
        key="a draft",
    ),
]
