"""The forms of staff about promotions and their codes for one use."""

from decimal import Decimal
from typing import Any

from billing.models import Promotion, SingleUseCode
from billing.staff import promotion_codes, promotions
from tests.forms.rows import ABSENT, Row, fields, refused
from tests.forms.staff_form import TOKEN, StaffForm, at
from tests.forms.world import World

SPAN = {
    "starts_at_0": "2026-01-01",
    "starts_at_1": "00:00:00",
    "ends_at_0": "2030-01-01",
    "ends_at_1": "00:00:00",
}


def _promotion(world: World) -> dict[str, Any]:
    names = (
        "code single_use label gives credits services lasts percent_off packs plans total_limit per_account"
    )
    newest = Promotion.objects.exclude(code__in=["HALF", "GIFT"]).filter(from_catalogue=False).first()
    return fields(
        newest,
        names,
        starts_at=lambda promotion: f"{promotion.starts_at:%Y-%m-%d}",
        ends_at=lambda promotion: f"{promotion.ends_at:%Y-%m-%d}",
    )


def _single_use(world: World) -> None:
    Promotion.objects.filter(code="GIFT").update(single_use=True)


def _gift(world: World) -> Promotion:
    return Promotion.objects.get(code="GIFT")


def _made_codes(world: World) -> dict[str, Any]:
    made = SingleUseCode.objects.filter(promotion__code="GIFT")
    newest = made.last()
    return {"number": made.count(), "token": str(newest.batch)} if newest else {}


def _imported_codes(world: World) -> dict[str, Any]:
    return {"codes": sorted(SingleUseCode.objects.values_list("code", flat=True)), "file": None}


FORMS = [
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
            "single_use": [Row(ABSENT, False), Row("on", True)],
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
                refused("gpt-4o,gpt-4p", "There is no service or tag “gpt-4p”."),
                refused("tag:cores", "There is no service or tag “tag:cores”."),
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
            "packs": [
                Row("", None),
                Row("small,large", ["small", "large"]),
                refused("tiny", "There is no pack “tiny”."),
            ],
            "plans": [
                Row("", None),
                Row("starter", ["starter"]),
                refused("stater", "There is no plan “stater”."),
            ],
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
        promotion_codes.MakeCodesForm,
        "billing.add_singleusecode",
        at("/admin/billing/promotion/{pk}/codes/", _gift),
        {"number": "3", "token": TOKEN},
        _made_codes,
        {
            "number": [
                Row("3", 3),
                Row("1", 1),
                refused("0", "greater than or equal to 1"),
                refused("10001", "less than or equal to 10000"),
                refused("many", "whole number"),
                refused("", "required"),
            ],
            "token": [Row(TOKEN, TOKEN), refused("1", "valid UUID"), refused("", "required")],
        },
        world=_single_use,
    ),
    StaffForm(
        promotion_codes.ImportCodesForm,
        "billing.add_singleusecode",
        at("/admin/billing/promotion/{pk}/import-codes/", _gift),
        {"codes": "SUMMER-0001", "choice": "import"},
        _imported_codes,
        {
            "codes": [
                Row("SUMMER-0001", ["SUMMER-0001"]),
                Row("summer-0002\r\n\r\n SUMMER-0001 ", ["SUMMER-0001", "SUMMER-0002"]),
                refused("SUM-1", "lines have faults", field="banner"),
                refused("", "Choose a file, or enter codes"),
                refused("SUMMER-0001\0", "Null characters"),
            ],
            "file": [Row(ABSENT, None)],  # tests/billing/promotions/test_single_use_codes.py
        },
        world=_single_use,
    ),
]
