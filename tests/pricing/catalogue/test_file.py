"""An invalid catalogue file is refused; the message names the file, the line and the field."""

import re
import shutil

import pytest
from django.core.management import CommandError, call_command

from pricing.catalogue import file as catalogue_file
from pricing.catalogue.file import CatalogueInvalid
from pricing.catalogue.schema import RateLine
from pricing.models import Catalogue, Pack, Plan, RateCard, Service
from pricing.rates.meters import METERS

SHIPPED = sorted(path.stem for path in catalogue_file.DIRECTORY.glob("*.toml"))

WRONG = [
    # (replacement in the tiny catalogue, pattern of the message)
    (('name = "Echo"', 'nmae = "Echo"'), r"services\[echo\]\.nmae.*misspelt"),
    (
        ("credits = 3", "credits = -3"),
        r"services\[echo\]\.rate\.lines\[0\]\.credits.*'-3'.*greater than or equal to 0",
    ),
    (
        ('name = "Echo"', 'name = "Echo"\nat_expiry = "capture"'),
        r"services\[echo\]\.at_expiry.*'capture'.*'release', 'capture_estimate' or 'capture_reported'",
    ),
    (("credits = 3", "credits = nan"), r"services\[echo\]\.rate\.lines\[0\]\.credits"),
    (("per = 1000", "per = 0"), r"rate\.lines\[0\]\.per.*greater than 0"),
    (('meter = "tokens"', 'meter = "token"'), r"rate\.lines\[0\]\.meter.*'token'"),
    (('key = "paint"', 'key = "echo"'), r"services\[echo\]\.key.*'echo'.*no other entry"),
    (('key = "paid"', 'key = "free"'), r"plans\[free\]\.key.*no other entry"),
    (
        ('modality = "text"\nrate', 'modality = "image"\nrate'),
        r"services\[paint\]\.rate\.cost_of_model.*a model of modality 'image'",
    ),
    (('kind = "action"', 'kind = "model"'), r"services\[paint\]\.rate\.cost_of_model.*an action"),
    (
        ("prices = { usd = 500, eur = 450 }", "prices = { usd = 500 }"),
        r"packs\[small\]\.prices.*a price in eur too",
    ),
    (
        ("month = { usd = 900, eur = 800 }", "month = { usd = 900 }"),
        r"plans\[paid\]\.prices\.month.*a price in eur too",
    ),
    (
        ("usd = 500, eur = 450", "usd = 500, eur = 450, jpy = 9"),
        r"packs\[small\]\.prices\.jpy.*a currency of this file",
    ),
    (
        ("usd = 500, eur = 450", "usd = 49, eur = 450"),
        r"packs\[small\]\.prices\.usd.*'49'.*at least 50 \(\$0\.50\), the smallest payment",
    ),
    (
        ("usd = 400, eur = 350", "usd = 400, eur = 49"),
        r"sales\[spring\]\.prices\.eur.*at least 50",
    ),
    (
        ("month = { usd = 900, eur = 800 }", "month = { usd = 100000000, eur = 800 }"),
        r"plans\[paid\]\.prices\.month\.usd.*at most 99999999",
    ),
    (
        ('["usd", "eur"]', '["usd", "eur", "xau"]'),
        r"currencies\[1\]|currencies\[2\].*a currency in which Stripe",
    ),
    (
        ("[policies]", '[policies.tax]\nbehavior = "exclusive"\n[policies.auto_top_up]\n[policies]'),
        r"policies.*only one of `tax` and `auto_top_up`",
    ),
    (("usd = 500, eur", "usd = 5.5, eur"), r"packs\[small\]\.prices\.usd.*'5.5'"),
    (
        ("usd = 400, eur = 350", "usd = 500, eur = 350"),
        r"sales\[spring\]\.prices\.usd.*less than the pack's own price, 500",
    ),
    (("ends_at = 2026-04-01", "ends_at = 2026-02-01"), r"sales\[spring\].*must come after"),
    (('pack = "small"', 'pack = "smal"'), r"sales\[spring\]\.pack.*'smal'.*a pack of this file \(small\)"),
    (
        ('options = ["quality"]', 'options = ["qualty"]'),
        r"services\[echo\]\.options\[0\].*'qualty'.*an option of this file",
    ),
    (('default = "low"', 'default = "none"'), r"options\.quality.*`default` must be one of"),
    (("free = true", "free = false"), r"plans.*exactly one plan with `free = true`"),
    (("free = true", "free = true\nlegacy = true"), r"plans\[free\].*not `legacy`"),
    (("rate = { cost_of_model = true }", "rate = { }"), r"services\[paint\]\.rate.*exactly one of"),
    (
        ("rate = { cost_of_model = true }", 'rate = { base = "x" }'),
        r"services\[paint\]\.rate\.base.*'x'.*none is declared",
    ),
    (
        ("per = 1000 }] }", "per = 1000 }], assumed = true }"),
        r"services\[echo\]\.rate.*`reason` belong together",
    ),
    (
        ("per = 1000 }]", 'per = 1000 }, { meter = "input_tokens", credits = 1 }]'),
        r"rate.*input_tokens is counted by two lines",
    ),
    (
        ("per = 1000 }]", "per = 1000, bands = [{ credits = 1 }] }]"),
        r"lines\[0\].*either `credits` or `bands`",
    ),
    (
        (
            "credits = 3,",
            "bands = [{ up_to = 9, credits = 1 }, { up_to = 5, credits = 1 }, { credits = 2 }],",
        ),
        r"must rise",
    ),
    # credits that are given once have no next period
    (("credits = 100\n", 'credits = 100\nlasts = "period"\n'), r"packs\[small\]\.lasts.*'period'"),
    (
        (
            "[policies]",
            '[policies.referral]\ninviter_credits = 1\ninvited_credits = 1\nlasts = "period"\n[policies]',
        ),
        r"policies\.referral\.lasts.*'period'",
    ),
    (('payment_methods = ["card"]', 'payment_methods = ["cash"]'), r"policies\.payment_methods\[0\].*'cash'"),
    (
        ('payment_methods = ["card"]', 'payment_methods = ["card", "customer_balance", "sepa_debit"]'),
        r"policies\.payment_methods\[2\] is 'sepa_debit'.*has in usd: sepa_debit is paid in eur only "
        r"\(list the methods of usd in payment_methods_in\)",
    ),
    (
        ('payment_methods = ["card"]', 'payment_methods_in = { usd = ["sepa_debit"] }'),
        r"policies\.payment_methods_in\.usd\[0\] is 'sepa_debit'.*paid in eur only",
    ),
    (
        ('payment_methods = ["card"]', 'payment_methods_in = { cny = ["card"] }'),
        r"policies\.payment_methods_in\.cny.*a currency of this file",
    ),
    (
        ("credits = 100\n", 'credits = 100\npayment_methods = { usd = ["sepa_debit"] }\n'),
        r"packs\[small\]\.payment_methods\.usd\[0\] is 'sepa_debit'.*paid in eur only",
    ),
    (
        ("rank = 1\n", 'rank = 1\npayment_methods = { eur = ["card", "alipay"] }\n'),
        r"plans\[paid\]\.payment_methods\.eur\[1\] is 'alipay'.*for subscriptions \(card, sepa_debit\)",
    ),
    (
        ("rank = 1\n", 'rank = 1\npayment_methods = { usd = ["sepa_debit"] }\n'),
        r"plans\[paid\]\.payment_methods\.usd\[0\] is 'sepa_debit'.*paid in eur only",
    ),
    (('accent = "#336699"', 'accent = "blue"'), r"brand\.accent.*'blue'"),
    *(
        (("[policies]", f'[wording.links]\n{page} = "{address}"\n[policies]'), rf"wording\.links\.{page}")
        for page, address in (
            ("terms", "http://tiny.example/"),
            ("privacy", "javascript:alert(1)"),
            ("community", "https://"),
            ("status", "https://a b"),
        )
    ),
    (
        ("[policies]", '[[wording.tiers]]\ntier = "gold"\nleast = 1\nmost = 2\n[policies]'),
        r"wording\.tiers.*'gold'.*a tier",
    ),
    (
        ("[policies]", '[[wording.tiers]]\ntier = "gold"\nleast = 3\nmost = 2\n[policies]'),
        r"wording\.tiers.*`most` must not be less",
    ),
    (('support_email = "help@tiny.example"\n', ""), r"wording\.support_email.*missing"),
    (("2026-01-01T00:00:00Z", "2026-01-01T00:00:00"), r"effective_at"),
    (('key = "tiny"', 'key = "tiny'), r"this is not TOML"),
    (
        ("rank = 1\n", 'rank = 1\nunlimited_services = ["ekko"]\n'),
        r"plans\[paid\]\.unlimited_services\[0\].*'ekko'.*key of a service",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _change, message in WRONG])
def test_an_invalid_file_changes_nothing_and_the_message_names_the_error(db, write, change, message):
    call_command("load_catalogue", str(write()), verbosity=0)
    before = contents()
    with pytest.raises(CommandError) as refused:
        call_command("load_catalogue", str(write(change, name="wrong")))
    assert re.search(message, str(refused.value)), str(refused.value)
    assert "wrong.toml" in str(refused.value)
    assert contents() == before


def contents():
    return [
        list(model.objects.order_by("pk").values()) for model in (Catalogue, Service, RateCard, Plan, Pack)
    ]


@pytest.mark.parametrize(
    ("change", "marked"),
    [
        (("credits = 3", "credits = -3"), "credits = -3"),
        (('name = "Paint"', 'nmae = "Paint"'), 'nmae = "Paint"'),
        (("usd = 400, eur = 350", "usd = 600, eur = 350"), "prices = { usd = 600"),
        (('accent = "#336699"', 'accent = "x"'), 'accent = "x"'),
    ],
)
def test_the_message_names_the_line(write, change, marked):
    path = write(change)
    with pytest.raises(CatalogueInvalid) as refused:
        catalogue_file.read(str(path))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if marked in text)
    assert any(problem.startswith(f"tiny.toml:{line}: ") for problem in refused.value.problems)


def test_the_message_names_every_error(write):
    path = write(("credits = 3", "credits = -3"), ('name = "Free"', 'nam = "Free"'))
    with pytest.raises(CatalogueInvalid) as refused:
        catalogue_file.read(str(path))
    assert len(refused.value.problems) >= 2


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CatalogueInvalid, match="apinfer, codeflicker, flowly, recraft, refly"):
        catalogue_file.read("reffly")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_catalogue_is_valid_and_its_assumptions_are_listed(name, capsys):
    call_command("check_catalogue", name)
    output = capsys.readouterr().out
    assert f"{name}.toml: sound" in output
    for entry, reason in catalogue_file.assumptions(catalogue_file.read(name).catalogue):
        assert f"{entry}: {reason}" in output


def test_assumed_figures_are_listed_with_entry_and_reason(write, capsys):
    call_command(
        "check_catalogue",
        str(write(("per = 1000 }] }", 'per = 1000 }], assumed = true, reason = "A guess." }'))),
    )
    assert capsys.readouterr().out.splitlines() == [
        "tiny.toml: sound; 1 assumed figures",
        "  services[echo].rate: A guess.",
    ]


def test_check_catalogue_names_the_errors_and_fails(write, tmp_path):
    path = write(("credits = 3", "credits = -3"))
    shutil.copy(path, tmp_path / "other.toml")
    with pytest.raises(CommandError, match=r"tiny\.toml:.*\n.*other\.toml:"):
        call_command("check_catalogue", str(path), str(tmp_path / "other.toml"))


def test_the_schema_accepts_every_meter():
    assert all(RateLine(meter=meter, credits=1) for meter in METERS)
