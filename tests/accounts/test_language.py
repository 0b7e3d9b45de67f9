"""The language of pages: the user's setting, the visitor's choice, the browser; and what stays in English."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import formats, translation

from accounts.models import User
from core.templatetags.credits import credits
from core.templatetags.money import money
from tests import languages
from tests.conftest import PASSWORD

CHINESE = "zh-CN,zh;q=0.9,en;q=0.8"
SETTINGS = {"first_name": "Alice", "last_name": "", "theme": "system"}


@pytest.fixture(autouse=True)
def marked() -> Iterator[None]:
    with languages.marked():
        yield


def browser(accepts: str) -> Client:
    return Client(headers={"accept-language": accepts})


def language_of(page: bytes) -> str:
    return page.decode().partition('<html lang="')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("accepts", "language"),
    [
        ("zh-CN,zh;q=0.9", "zh-hans"),
        ("zh", "zh-hans"),
        ("zh-Hans-CN", "zh-hans"),
        ("zh-SG", "zh-hans"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh-hans"),  # nearer to its readers than English
        ("en-GB,zh;q=0.5", "en"),
        ("fr-FR,fr;q=0.9", "en"),
        ("fr,zh-CN;q=0.2", "zh-hans"),
        ("xx-unknown, ;;;q=, *", "en"),
        ("a" * 5000, "en"),
        ("", "en"),
    ],
)
def test_visitors_see_the_language_of_their_browser(catalogue, accepts, language):
    response = browser(accepts).get("/faq/")
    assert language_of(response.content) == response["Content-Language"] == language
    assert ("【Skip to content】" in response.content.decode()) == (language == "zh-hans")


def test_shared_caches_keep_one_page_for_each_language(catalogue):
    response = browser(CHINESE).get("/faq/")
    assert {"Accept-Language", "Cookie"} <= set(response["Vary"].split(", "))


def test_the_brand_can_be_cached_for_all_languages(catalogue):
    response = browser(CHINESE).get("/brand.css")
    assert "Vary" not in response or response["Vary"] == "Accept-Encoding"
    assert not response.has_header("Content-Language")


def test_a_visitor_chooses_a_language_in_the_footer_without_script(catalogue):
    visitor = browser("fr")
    page = visitor.get("/faq/?topic=1").content.decode()
    assert 'name="next" value="/faq/?topic=1"' in page and 'value="zh-hans" lang="zh-hans"' in page
    response = visitor.post(reverse("set_language"), {"language": "zh-hans", "next": "/faq/?topic=1"})
    assert (response.status_code, response["Location"]) == (302, "/faq/?topic=1")
    cookie = response.cookies[settings.LANGUAGE_COOKIE_NAME]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 365 * 86400)
    assert language_of(visitor.get("/faq/").content) == "zh-hans"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_the_choice_of_a_language_redirects_to_this_site_only(catalogue, target):
    response = Client().post(reverse("set_language"), {"language": "zh-hans", "next": target})
    assert response["Location"] == "/"


@pytest.mark.parametrize("language", ["xx", "fr", "", "../../etc"])
def test_a_language_that_is_not_offered_changes_nothing(catalogue, language):
    visitor = Client()
    visitor.post(reverse("set_language"), {"language": language, "next": "/faq/"})
    assert language_of(visitor.get("/faq/").content) == "en"


def test_the_footer_names_each_language_by_its_own_name(catalogue):
    page = browser(CHINESE).get("/faq/").content.decode()
    assert 'lang="en">English</button>' in page and ">简体中文</button>" in page


def test_the_setting_of_a_user_counts_more_than_the_browser(alice, bob, signed_in):
    alice.language = "zh-hans"
    alice.save()
    for user, accepts, language in ((alice, "en", "zh-hans"), (bob, CHINESE, "zh-hans"), (bob, "en", "en")):
        page = signed_in(user).get("/", headers={"accept-language": accepts}).content
        assert language_of(page) == language


def test_as_in_the_browser_ends_the_choice_of_this_browser(alice, signed_in):
    reader = signed_in(alice)
    saved = reader.post("/settings/", SETTINGS | {"language": "zh-hans"}, follow=True)
    assert "【Profile saved.】" in saved.content.decode()
    assert reader.cookies[settings.LANGUAGE_COOKIE_NAME].value == "zh-hans"
    saved = reader.post("/settings/", SETTINGS | {"language": ""}, follow=True)
    assert "Profile saved." in saved.content.decode() and "【" not in saved.content.decode()
    alice.refresh_from_db()
    assert alice.language == ""


def test_after_sign_out_the_browser_keeps_the_language(alice, signed_in):
    reader = signed_in(alice)
    reader.post("/settings/", SETTINGS | {"language": "zh-hans"})
    reader.post(reverse("account_logout"))
    assert language_of(reader.get("/accounts/login/").content) == "zh-hans"


def test_the_settings_offer_the_languages_by_their_own_names(alice, signed_in):
    page = signed_in(alice).get("/settings/").content.decode()
    assert '<option value="" selected>As in the browser</option>' in page
    assert '<option value="en">English</option>' in page
    assert '<option value="zh-hans">简体中文</option>' in page
    assert reverse("set_language") not in page


def test_a_language_that_is_no_longer_offered_does_not_count(alice, signed_in):
    alice.language = "de"
    alice.save()
    assert language_of(signed_in(alice).get("/").content) == "en"


@pytest.mark.parametrize("path", ["/api/v1/charges/chg_missing", "/api/v1/nothing"])
def test_the_api_is_in_english_for_keys_and_sessions(alice, signed_in, api_of, path):
    alice.language = "zh-hans"
    alice.save()
    answers = [
        api_of(alice).client.get(path, headers={"accept-language": CHINESE}),
        signed_in(alice).get(path, headers={"accept-language": CHINESE}),
        browser(CHINESE).get(path),
    ]
    assert all(answer.status_code in (401, 404) for answer in answers)
    assert "【" not in "".join(answer.content.decode() for answer in answers)


def test_the_admin_is_in_english(staff, signed_in):
    staff.language = "zh-hans"
    staff.save()
    page = signed_in(staff).get("/admin/").content.decode()
    assert "【" not in page and language_of(page.encode()) in ("en", "en-us")


def test_a_page_in_chinese_leaves_the_thread_in_english(catalogue):
    browser(CHINESE).get("/faq/")
    browser(CHINESE).get("/no/such/page")
    assert translation.get_language() == "en"


def test_pages_of_errors_are_in_the_readers_language(catalogue):
    page = browser(CHINESE).get("/no/such/page")
    assert page.status_code == 404
    assert language_of(page.content) == "zh-hans"


def test_the_language_of_the_browser_is_recorded_at_sign_in(alice):
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    visitor = browser(CHINESE)
    visitor.get("/accounts/login/")
    visitor.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})
    alice.refresh_from_db()
    assert (alice.language, alice.browser_language, alice.mail_language) == ("", "zh-hans", "zh-hans")


def test_codes_are_sent_in_the_language_that_the_user_has_chosen(alice, bob):
    alice.language = "zh-hans"
    alice.save()
    for user in (alice, bob):
        browser("en").post(reverse("account_request_login_code"), {"email": user.email})
    to_alice, to_bob = mail.outbox
    assert "【" in to_alice.subject + str(to_alice.body)
    assert "【" not in to_bob.subject + str(to_bob.body)


@pytest.mark.parametrize("path", ["/", "/counter", "/dashboard/balance", "/dashboard/activity", "/history/"])
def test_members_of_one_team_read_pages_and_live_parts_in_their_languages(team, alice, bob, signed_in, path):
    """The stream of an account states a version only: each tab loads its parts itself."""
    User.objects.filter(pk=alice.pk).update(language="zh-hans")
    User.objects.filter(pk=bob.pk).update(language="en")
    shown = {}
    for user in (alice, bob, alice):
        reader = signed_in(user)
        reader.post(reverse("switch_account", args=[team.public_id]))
        shown[user.first_name] = reader.get(path, headers={"hx-request": "true"}).content.decode()
    assert "【" in shown["Alice"] and "【" not in shown["Bob"]


def test_exports_name_services_in_the_language_of_the_request(alice, signed_in):
    User.objects.filter(pk=alice.pk).update(language="zh-hans")
    rows = signed_in(alice).get("/history/export.csv").getvalue().decode()
    assert rows.startswith("\ufefftime_utc,time_local,zone,kind,what,")
    assert "每日积分" in rows and "Daily refresh" not in rows


def test_dates_and_money_have_the_formats_of_the_language(catalogue):
    moment = datetime(2026, 11, 20, 16, 4, 5, tzinfo=UTC)
    shown = {}
    for code in ("en", "zh-hans"):
        with translation.override(code):
            day = [formats.date_format(moment, form) for form in ("DATE_FORMAT", "MONTH_DAY_FORMAT")]
            shown[code] = [*day, credits(Decimal("12345678.5")), money(1234567, "cny"), money(500, "jpy")]
    assert shown == {
        "en": ["20 November 2026", "20 Nov", "12,345,678.5", "CN¥12,345.67", "¥500"],
        "zh-hans": ["2026年11月20日", "11月20日", "12,345,678.5", "¥12,345.67", "JP¥500"],
    }
