"""E-mails in HTML: what the text says, links of this site only, and nothing that a user's text could add."""

from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import translation

from pricing import html_mail

pytestmark = pytest.mark.django_db
SITE = "https://credits.example.org"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.SITE_URL = SITE


def html_of(body: str, subject: str = "A subject") -> str:
    message = html_mail.with_html(EmailMessage(subject, body, to=["alice@example.org"]))
    [(content, kind)] = message.alternatives
    assert kind == "text/html" and message.body == body
    return str(content)


@pytest.mark.parametrize(
    ("line", "label"),
    [
        (f"Buy credits: {SITE}/billing/buy/", "Buy credits"),
        (f"购买积分：{SITE}/billing/buy/", "购买积分"),
        (f"{SITE}/billing/buy/", f"{SITE}/billing/buy/"),
    ],
)
def test_an_address_of_this_site_is_a_link_named_by_its_label(line: str, label: str) -> None:
    assert html_mail.parts_of(line) == [[{"kind": "link", "text": label, "url": f"{SITE}/billing/buy/"}]]


@pytest.mark.parametrize(
    "sentence",
    [
        "You asked us to tell you when the credits of this account fall below the threshold",
        "如果是您本人所做的更改，则无需任何操作。如果不是，请立即重置密码",
    ],
)
def test_a_sentence_before_an_address_stays_a_sentence(sentence: str) -> None:
    [[text, link]] = html_mail.parts_of(f"{sentence}: {SITE}/x/")
    assert (text["kind"], text["text"], link["text"]) == ("text", sentence, f"{SITE}/x/")


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/pay", f"{SITE}.evil.example/", f"{SITE}@evil.example/", "javascript:alert(1)"],
)
def test_another_address_is_text(url: str) -> None:
    assert "href" not in html_of(f"Pay here: {url}")


def test_the_first_link_is_the_button_and_paragraphs_keep_their_lines() -> None:
    html = html_of(f"One.\nTwo.\n\nBuy: {SITE}/buy/\nAlerts: {SITE}/alerts/\n")
    assert "<p>One.<br>Two.</p>" in html
    assert f'<a class="button" href="{SITE}/buy/">Buy</a><br>' in html
    assert f'<a class="link" href="{SITE}/alerts/">Alerts</a>' in html
    assert 'class="button"' not in html_of(f"Refly\n{SITE}"), "an address without a label"


def test_text_of_users_cannot_add_markup() -> None:
    html = html_of("<b>Pay</b> <script>alert(1)</script>", subject="<i>Hello</i>")
    assert "<b>" not in html and "<script>" not in html and "<i>" not in html
    assert "&lt;script&gt;" in html


def test_the_html_has_the_language_and_the_brand(catalogue: None) -> None:
    with translation.override("zh-hans"):
        html = html_of("文本")
    assert '<html lang="zh-hans">' in html and "Refly" in html


def test_the_code_of_a_sign_up_is_shown_large(client: Client, catalogue: None) -> None:
    client.post("/accounts/signup/", {"email": "dora@example.org", "password1": "a long enough passphrase"})
    [sent] = mail.outbox
    [(html, _kind)] = sent.alternatives  # type: ignore[attr-defined]
    code = next(line.strip() for line in str(sent.body).splitlines() if line.startswith("    "))
    assert f'<span class="code">{code}</span>' in html
