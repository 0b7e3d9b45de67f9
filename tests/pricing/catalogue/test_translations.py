"""Texts of a catalogue in other languages: what is refused, what is shown, and that ours are complete."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import translation

from pricing.catalogue import file as catalogue_file
from pricing.catalogue import texts
from pricing.catalogue.file import DIRECTORY, CatalogueInvalid
from pricing.models import Catalogue, Pack, RateCard
from tests import languages

pytestmark = pytest.mark.django_db
CREDITS = 'intro = "Credits."'
Write = Callable[..., Path]


def translated_by(lines: str) -> tuple[str, str]:
    """The change of the tiny catalogue that adds translations."""
    return ("[policies]\n", f"[translations.zh-hans]\n{lines}\n\n[policies]\n")


def load(write: Write, lines: str) -> None:
    call_command("load_catalogue", str(write(translated_by(lines))), verbosity=0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            '"Kredits." = "点数。"',
            r":15: translations\.zh-hans\.Kredits\. is .*; expected a text of this file",
        ),
        ('"Credits." = ""', r":15: translations\.zh-hans\.Credits.*at least 1 character"),
        ('"Credits." = 5', r":15: translations\.zh-hans\.Credits.*a valid string"),
        ('\n[translations.fr]\n"Credits." = "C."', r":16: translations\.fr is 'fr'.*\(zh-hans\)"),
        ('\n[translations.en]\n"Credits." = "C."', r":16: translations\.en .*other than English"),
    ],
)
def test_an_invalid_translation_is_refused_with_its_line(write: Write, lines: str, expected: str) -> None:
    path = write(translated_by(lines))
    with pytest.raises(CatalogueInvalid, match=expected) as error:
        catalogue_file.read(str(path))
    assert len(error.value.problems) == 1


def test_a_text_is_shown_in_the_readers_language_and_english_without_a_translation(write: Write) -> None:
    load(write, '"Credits." = "点数。"')
    with translation.override("zh-hans"):
        assert texts.translated("Credits.") == "点数。"
        assert texts.translated("Small") == "Small"
        assert texts.translated("") == ""
    assert texts.translated("Credits.") == "Credits."


def test_rows_keep_the_catalogues_own_texts(write: Write) -> None:
    load(write, '"Small" = "小包"')
    assert Pack.objects.get(key="small").name == "Small"
    assert Catalogue.objects.get().translations == {"zh-hans": {"Small": "小包"}}


def test_a_changed_translation_is_loaded_and_changes_no_price(write: Write) -> None:
    load(write, '"Credits." = "点数。"')
    cards = RateCard.objects.count()
    load(write, '"Credits." = "积分。"')
    with translation.override("zh-hans"):
        assert texts.translated("Credits.") == "积分。"
    assert RateCard.objects.count() == cards


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Small (1 credit)", "【小包 (1 credit)】"),
        ("Small (1000 credits)", "【小包 (1,000 credits)】"),  # as earlier releases stored it
        ("Small (1,000 credits)", "【小包 (1,000 credits)】"),
        ("3 × Small (300.5 credits)", "【3 × 小包 (300.5 credits)】"),
        ("Small (special)", "【Small (special)】"),
        ("Small (1.2.3 credits)", "【Small (1.2.3 credits)】"),  # a grant's label is any text
    ],
)
def test_labels_of_purchases_name_the_pack_in_the_readers_language(
    write: Write, stored: str, shown: str
) -> None:
    load(write, '"Small" = "小包"')
    with languages.marked(), translation.override("zh-hans"):
        assert texts.translated(stored) == shown


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("3 × Small (15000 credits)", "3 × Small (15,000 credits)"),
        ("3 × Small (15,000 credits)", "3 × Small (15,000 credits)"),
        ("Small (1 credit)", "Small (1 credit)"),
        ("Small (15000 tokens)", "Small (15000 tokens)"),
        ("15000", "15000"),
    ],
)
def test_labels_of_purchases_group_their_digits_in_english_too(
    catalogue: None, stored: str, shown: str
) -> None:
    assert texts.translated(stored) == shown


@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.glob("*.toml")))
def test_our_catalogues_are_translated(name: str) -> None:
    assert texts.missing(catalogue_file.read(name).catalogue, "zh-hans") == []
