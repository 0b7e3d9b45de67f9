"""The rules of the schema of a catalogue file: what is refused, with which message, and what is accepted."""

import re

import pytest

from pricing.catalogue import file as catalogue_file
from pricing.catalogue.file import CatalogueInvalid

POLICIES = 'payment_methods = ["card"]'
PAID = "rank = 1\n"
PROMOTION = (
    '{ code = "SPRING", label = "S", credits = 5, starts_at = 2026-03-01T00:00:00Z,'
    " ends_at = 2026-04-01T00:00:00Z }"
)
ALLOWANCE = '{ key = "a", kind = "plan", label = "A", credits = 5, period = "month" }'
QUOTA = '{ key = "files", label = "Files", maximum = 5, period = "ever" }'


BAND = "{ up_to = 5, credits = 1 }"
PACK = '\n[[packs]]\nkey = "small"\nname = "Small"'
REFERRAL = "inviter_credits = 5, invited_credits = 5"


def with_allowance(change):
    return (PAID, f"{PAID}allowances = [{ALLOWANCE.replace(*change)}]\n")


def with_quota(change):
    return (PAID, f"{PAID}quotas = [{QUOTA.replace(*change)}]\n")


def with_promotion(change):
    return (POLICIES, f"{POLICIES}\npromotions = [{PROMOTION.replace(*change)}]")


def changed_at(*dates):
    changes = "".join(
        f"[[services.changes]]\neffective_at = {date}T00:00:00Z\n"
        'rate = { lines = [{ meter = "tokens", credits = 9 }] }\n'
        for date in dates
    )
    return ("per = 1000 }] }\n", f"per = 1000 }}] }}\n{changes}")


ALSO_WRONG = [
    (with_promotion((PROMOTION, f"{PROMOTION}, {PROMOTION}")), r"promotions\[SPRING\]\.code.*used once"),
    (with_promotion(("2026-04-01", "2026-03-01")), r"promotions\[SPRING\].*must come after"),
    (with_promotion(("credits = 5", "credits = 0")), r"promotions\[SPRING\]\.credits.*greater than 0"),
    (with_promotion(("SPRING", "spring")), r"promotions\[spring\]\.code"),
    (with_promotion(("SPRING", "SP")), r"promotions\[SP\]\.code"),
    (with_promotion(('label = "S"', 'label = "S", services = ["ekko"]')), r"the key of a service"),
    (with_promotion(('label = "S"', 'label = "S", services = ["tag:slow"]')), r"tag that one carries"),
    (with_promotion(('label = "S"', 'label = "S", most_redemptions = 0')), r"most_redemptions"),
    (
        (POLICIES, f'{POLICIES}\nreferral = {{ {REFERRAL}, services = ["ekko"] }}'),
        r"policies\.referral\.services.*the key of a service",
    ),
    (
        (POLICIES, f"{POLICIES}\nreferral = {{ inviter_credits = 0, invited_credits = 5 }}"),
        r"referral\.inviter_credits.*greater than 0",
    ),
    (
        ('tags = ["fast"]', 'tags = ["fast"]\nproviders = ["acme"]'),
        r"providers\[0\].*'acme'",
    ),
    (('tags = ["fast"]', 'tags = ["fast"]\nquota = "files"'), r"services\[echo\]\.quota.*a plan's quota"),
    (changed_at("2026-01-01"), r"changes\[0\]\.effective_at.*after the catalogue's own"),
    (changed_at("2026-06-01", "2026-06-01"), r"changes\[1\]\.effective_at.*after the change before it"),
    (with_allowance(("credits = 5", "credits = 0")), r"allowances\[a\]\.credits.*greater than 0"),
    (with_allowance(('period = "month"', 'period = "week"')), r"allowances\[a\]\.period"),
    (with_allowance(('period = "month"', 'period = "once"')), r"allowances\[a\].*say how long it `lasts`"),
    (
        with_allowance(('period = "month"', 'period = "month", services = ["ekko"]')),
        r"allowances\[a\]\.services",
    ),
    (with_allowance(('period = "month"', 'period = "month", lasts = "0 days"')), r"allowances\[a\]\.lasts"),
    (with_allowance((ALLOWANCE, f"{ALLOWANCE}, {ALLOWANCE}")), r"the allowance key 'a' is used 2 times"),
    (with_quota((QUOTA, f"{QUOTA}, {QUOTA}")), r"the quota key 'files' is used 2 times"),
    (with_quota(("maximum = 5", "maximum = 0")), r"quotas\[files\]\.maximum.*greater than 0"),
    (with_quota(("ever", "week")), r"quotas\[files\]\.period"),
    (("free = true", "free = true\nprices = { month = { usd = 900, eur = 800 } }"), r"the free plan has no"),
    ((PAID, "rank = 1\nfree = true\n"), r"no `prices`|exactly one plan"),
    ((PAID, "rank = -1\n"), r"plans\[paid\]\.rank.*greater than or equal to 0"),
    (("credits = 100\n", "credits = 0\n"), r"packs\[small\]\.credits.*greater than 0"),
    (("credits = 100\n", "credits = 1000000001\n"), r"packs\[small\]\.credits.*less than or equal to"),
    (("credits = 100\n", 'credits = 100\nlasts = "12 weeks"\n'), r"packs\[small\]\.lasts"),
    (("ends_at = 2026-04-01", "ends_at = 2026-03-01"), r"sales\[spring\].*must come after"),
    (("per = 1000", "per = 1000, whole_blocks = 5"), r"whole_blocks"),
    (
        ("credits = 3,", "whole_blocks = true, bands = [{ up_to = 1500, credits = 1 }, { credits = 2 }],"),
        r"every `up_to` is a multiple of `per`",
    ),
    (("credits = 3,", "bands = [{ up_to = 9, credits = 1 }],"), r"only the last one has none"),
    (("credits = 3,", "bands = [{ credits = 1 }, { credits = 2 }],"), r"`bands` must rise"),
    (("credits = 3,", f"bands = [{BAND}, {BAND}, {{ credits = 2 }}],"), r"`bands` must rise"),
    (("credits = 3,", "bands = [{ up_to = 0, credits = 1 }, { credits = 2 }],"), r"up_to.*greater than 0"),
    (("credits = 3,", ""), r"either `credits` or `bands`"),
    (("multipliers = { low = 1, high = 2 }", "effect = false"), r"no `multipliers` and no `default`"),
    (('default = "low"', "effect = false"), r"no `multipliers` and no `default`"),
    (("high = 2", "high = 0"), r"options\.quality\.multipliers\.high.*greater than 0"),
    (("per = 1000 }] }", "per = 1000 }], multiplier = 0 }"), r"rate\.multiplier.*greater than 0"),
    (("per = 1000 }] }", "per = 1000 }], minimum = -1 }"), r"rate\.minimum.*greater than or equal to 0"),
    (("per = 1000 }] }", "per = 1000 }], cost_of_model = true }"), r"exactly one of"),
    (("per = 1000 }] }", 'per = 1000 }], reason = "A guess." }'), r"`reason` belong together"),
    ((POLICIES, f"{POLICIES}\nrunning_holds = 10001"), r"running_holds.*equal to 10000"),
    ((POLICIES, f"{POLICIES}\nestimate_minutes = 0"), r"policies\.estimate_minutes.*greater than 0"),
    ((POLICIES, f"{POLICIES}\nestimate_minutes = 1441"), r"estimate_minutes.*equal to 1440"),
    ((POLICIES, f"{POLICIES}\nrenewal_grace_hours = 1"), r"renewal_grace_hours.*greater than or equal to 2"),
    ((POLICIES, f"{POLICIES}\nrenewal_grace_hours = 505"), r"renewal_grace_hours.*less than or equal to 504"),
    ((POLICIES, f"{POLICIES}\npause = {{ most_months = 13 }}"), r"most_months.*less than or equal to 12"),
    ((POLICIES, f"{POLICIES}\nrefund_window_days = 0"), r"refund_window_days.*greater than 0"),
    ((POLICIES, f'{POLICIES}\nplan_dispute = "keep"'), r"policies\.plan_dispute"),
    (
        ('["usd", "eur"]', '["usd", "eur", "isk"]'),
        r"packs\[small\]\.prices.*a price in isk too",
    ),
    ((PACK, f"{PACK}\ncredits = 1\nprices = {{ usd = 500, eur = 450 }}\n{PACK}"), r"packs\[small\]\.key"),
]


def test_every_other_rule_of_the_schema_has_a_message(write):
    for change, message in ALSO_WRONG:
        path = str(write(change))
        with pytest.raises(CatalogueInvalid) as refused:
            catalogue_file.read(path)
        assert re.search(message, str(refused.value)), (change, str(refused.value))


RIGHT = [
    with_promotion(("X", "X")),
    with_allowance(('period = "month"', 'period = "once", lasts = "1 month", services = ["tag:fast"]')),
    with_quota(("maximum = 5", "maximum = 1")),
    changed_at("2026-01-02", "2026-01-03"),
    ("usd = 500, eur = 450", "usd = 401, eur = 351"),
    ("usd = 400, eur = 350", "usd = 50, eur = 50"),
    ("credits = 100\n", "credits = 1000000000\n"),
    ("credits = 3,", "bands = [{ up_to = 1000, credits = 1 }, { credits = 2 }], whole_blocks = true,"),
    ("per = 1000 }] }", "per = 1000 }], minimum = 0 }"),
    (POLICIES, f"{POLICIES}\nrunning_holds = 10000\nestimate_minutes = 1440\nrenewal_grace_hours = 2"),
    (POLICIES, f"{POLICIES}\nrenewal_grace_hours = 504\npause = {{ most_months = 12 }}"),
    (PAID, "rank = 0\n"),
]


def test_values_at_their_boundaries_are_accepted(write):
    for change in RIGHT:
        assert catalogue_file.read(str(write(change))).catalogue.key == "tiny", change
