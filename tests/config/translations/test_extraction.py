"""Messages are found in Python modules and in templates as Django translates them at run time."""

from pathlib import Path

import pytest

from config.translations import extraction


def in_python(source: str) -> list[tuple[str, str, str]]:
    return [
        (message.context, message.singular, message.plural)
        for message in extraction.in_python(source, "billing/views.py")
    ]


def in_template(source: str) -> list[tuple[str, str, str]]:
    return [
        (message.context, message.singular, message.plural)
        for message in extraction.in_template(source, "templates/page.html")
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("_('Buy credits')", ("", "Buy credits", "")),
        ("gettext_lazy('Buy ' 'credits')", ("", "Buy credits", "")),
        ("translation.gettext('Paid')", ("", "Paid", "")),
        ("ngettext('%(n)d day', '%(n)d days', n)", ("", "%(n)d day", "%(n)d days")),
        ("pgettext_lazy('role', 'Billing')", ("role", "Billing", "")),
        ("npgettext('a', 'one', 'many', n)", ("a", "one", "many")),
    ],
)
def test_a_call_of_gettext_is_a_message(source: str, message: tuple[str, str, str]) -> None:
    assert in_python(source) == [message]


def test_other_calls_and_variables_are_no_messages() -> None:
    assert in_python("print('Buy'); _(reason); gettext_lazy(names[0])") == []


@pytest.mark.parametrize("source", ["_(f'Buy {name}')", "_('Buy ' + name)", "_('Buy %s' % name)"])
def test_a_message_that_is_put_together_is_refused(source: str) -> None:
    with pytest.raises(SyntaxError, match=r"billing/views\.py:1: a message is one literal text"):
        in_python(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{% translate "Buy" %}', ("", "Buy", "")),
        ('{% translate "It\'s paid" as title %}', ("", "It's paid", "")),
        ('{% translate "From" context "invoice" %}', ("invoice", "From", "")),
        ('{% translate "100%" %}', ("", "100%%", "")),
        ("{% blocktranslate with n=a.b %}Buy {{ n }}{% endblocktranslate %}", ("", "Buy %(n)s", "")),
        ("{% blocktranslate trimmed %}\n  Buy\n  now\n{% endblocktranslate %}", ("", "Buy now", "")),
        (
            "{% blocktranslate count n=n %}{{ n }} day{% plural %}{{ n }} days{% endblocktranslate %}",
            ("", "%(n)s day", "%(n)s days"),
        ),
        ('<p>{{ subject|default:_("(none)") }}</p>', ("", "(none)", "")),
        ('{% include "page.html" with title=_("Paid") %}', ("", "Paid", "")),
    ],
)
def test_a_tag_of_a_template_is_a_message(source: str, message: tuple[str, str, str]) -> None:
    assert in_template(f"<h1>\n  {source}</h1>\n") == [message]


def test_messages_come_in_the_order_of_the_text() -> None:
    source = '{% translate "One" %} gettext("no") {# {% translate "no" %} #}\n{% translate "Two" %}'
    assert [singular for _, singular, _ in in_template(source)] == ["One", "Two"]


def test_modules_and_templates_of_a_folder_are_read(tmp_path: Path) -> None:
    for path, text in {
        "billing/views/buy.py": "from django.utils.translation import gettext as _\n_('Paid')",
        "billing/readme.md": "_('no')",
        "templates/billing/buy.html": '{% translate "Buy" %}',
        "templates/billing/emails/receipt.txt": '{% translate "Receipt" %}',
        "tests/test_buy.py": "from django.utils.translation import gettext as _\n_('no')",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert [(message.singular, message.path) for message in extraction.messages(tmp_path)] == [
        ("Paid", "billing/views/buy.py"),
        ("Buy", "templates/billing/buy.html"),
        ("Receipt", "templates/billing/emails/receipt.txt"),
    ]


def test_scripts_have_no_texts() -> None:
    """Texts of scripts are attributes of the page (`data-copied`), so that templates translate them."""
    scripts = list((extraction.ROOT / "static/js").glob("*.js"))
    assert scripts and [path.name for path in scripts if "gettext" in path.read_text()] == []
