"""Signing in with the account of another site: who is signed in, and who is refused."""

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Referral
from billing.promotions import referrals
from config import social_login
from config.environment import Environment
from tests.accounts import other_site
from tests.accounts.mailbox import subjects_to
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
LOGIN = "/accounts/oidc/oidc/login/"
DORA = {"sub": "1", "email": "Dora@example.org", "email_verified": True, "given_name": "Dora"}


@pytest.fixture
def site(settings: Any, catalogue: None) -> Iterator[other_site.OtherSite]:
    with other_site.running() as site:
        settings.SOCIALACCOUNT_PROVIDERS = other_site.settings_for(site, settings.SOCIALACCOUNT_PROVIDERS)
        site.claims = dict(DORA)
        yield site


def come_back(browser: Client, **form: str) -> Any:
    """Press the button; the response to the redirect from the other site."""
    away = browser.post(LOGIN, {"process": "login", **form})
    assert away.status_code == 302, away.content
    state = parse_qs(urlsplit(away.url).query)["state"][0]
    return browser.get(f"{LOGIN}callback/", {"code": "a-code", "state": state})


def signed_in_as(browser: Client) -> str | None:
    return browser.session.get("_auth_user_id")


def confirmed(user: User, *, verified: bool = True) -> User:
    EmailAddress.objects.create(user=user, email=user.email, verified=verified, primary=True)
    return user


def test_a_new_user_has_an_account_with_the_free_quota_once_per_mailbox(site: other_site.OtherSite) -> None:
    def credits_of(email: str) -> Decimal:
        return ledger.balance(Account.objects.get(person__email=email).pk, timezone.now()).available

    call_command("load_catalogue", "codeflicker", verbosity=0)
    browser = Client()
    assert come_back(browser, zone="Europe/Paris", next="/plans/").url == "/plans/"

    dora = User.objects.get(email="dora@example.org")
    assert signed_in_as(browser) == str(dora.pk)
    account = Account.objects.get(person=dora)
    assert (account.zone, dora.first_name, dora.has_usable_password()) == ("Europe/Paris", "Dora", False)
    assert EmailAddress.objects.get(user=dora).verified
    assert credits_of("dora@example.org") > 0

    site.claims |= {"sub": "2", "email": "dora+again@example.org"}  # the same mailbox
    come_back(Client())
    assert credits_of("dora+again@example.org") == 0

    again = Client()
    site.claims |= {"sub": "1", "email": "other@example.org"}  # the account counts, not its present address
    come_back(again)
    assert signed_in_as(again) == str(dora.pk)


@pytest.mark.parametrize("verified", [False, None, "false", 0, "no"])
def test_an_address_that_is_not_verified_signs_nobody_up_and_nobody_in(
    site: other_site.OtherSite, alice: User, verified: object
) -> None:
    confirmed(alice)
    for email in (alice.email, "new@example.org"):
        site.claims = {"sub": "3", "email": email, "email_verified": verified}
        browser = Client()
        assert come_back(browser).url == reverse("account_login")
        assert signed_in_as(browser) is None
        assert "did not confirm your e-mail address" in browser.get(reverse("account_login")).content.decode()
    assert not SocialAccount.objects.exists()
    assert not User.objects.filter(email="new@example.org").exists()


def test_without_an_address_nobody_signs_up(site: other_site.OtherSite) -> None:
    site.claims = {"sub": "4"}
    browser = Client()
    assert come_back(browser).url == reverse("account_login")
    assert signed_in_as(browser) is None


def test_a_verified_mailbox_signs_in_its_user_who_gets_an_e_mail(
    site: other_site.OtherSite, alice: User
) -> None:
    confirmed(alice)
    site.claims |= {"email": "Alice@example.org"}
    browser = Client()
    come_back(browser)
    assert signed_in_as(browser) == str(alice.pk)
    assert "A Wonderland account was connected" in subjects_to(alice.email)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_a_password_of_somebody_who_never_verified_the_address_does_not_outlast_its_owner(
    site: other_site.OtherSite, alice: User
) -> None:
    confirmed(alice, verified=False)
    site.claims |= {"email": alice.email}
    come_back(Client())
    alice.refresh_from_db()
    assert not alice.has_usable_password()


def test_the_second_factor_is_required(site: other_site.OtherSite, alice: User) -> None:
    confirmed(alice)
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "x"})
    site.claims |= {"email": alice.email}
    browser = Client()
    assert come_back(browser).url.startswith(reverse("mfa_authenticate"))
    assert signed_in_as(browser) is None


def test_a_deactivated_user_stays_out(site: other_site.OtherSite, alice: User) -> None:
    confirmed(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    site.claims |= {"email": alice.email}
    browser = Client()
    assert come_back(browser).url == reverse("account_inactive")
    assert signed_in_as(browser) is None


def test_an_invitation_outlasts_the_redirect(site: other_site.OtherSite, alice: User) -> None:
    code = referrals.code_of(Account.objects.get(person=alice))
    browser = Client()
    browser.get(f"/invite/{code}/")
    come_back(browser)
    dora = User.objects.get(email="dora@example.org")
    assert Referral.objects.filter(invited__person=dora).exists()


def test_a_signed_in_user_connects_and_disconnects_an_account(
    site: other_site.OtherSite, alice: User
) -> None:
    confirmed(alice)
    browser = Client()
    browser.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})
    browser.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    site.claims |= {"email": "somewhere@else.example", "email_verified": False}
    come_back(browser, process="connect")
    page = browser.get(reverse("socialaccount_connections")).content.decode()
    assert "somewhere@else.example" in page
    assert "Account connected." in page
    assert not EmailAddress.objects.filter(email="somewhere@else.example").exists()

    data = b"".join(browser.get("/settings/data.json").streaming_content).decode()
    assert '"accounts_at_other_sites"' in data
    assert "somewhere@else.example" in data

    account = SocialAccount.objects.get(user=alice)
    browser.post(reverse("socialaccount_connections"), {"account": account.pk})
    assert not SocialAccount.objects.filter(user=alice).exists()
    assert "A Wonderland account was disconnected" in subjects_to(alice.email)


def test_the_last_account_stays_until_there_is_a_password(site: other_site.OtherSite) -> None:
    browser = Client()
    come_back(browser)
    account = SocialAccount.objects.get()
    page = browser.post(reverse("socialaccount_connections"), {"account": account.pk}).content.decode()
    assert "Set a password before you disconnect" in page
    assert SocialAccount.objects.exists()


def test_a_state_of_another_browser_or_an_error_of_the_site_signs_nobody_in(
    site: other_site.OtherSite,
) -> None:
    away = Client().post(LOGIN, {"process": "login"})
    state = parse_qs(urlsplit(away.url).query)["state"][0]
    for query in ({"code": "a-code", "state": state}, {"error": "server_error"}, {"code": "a-code"}):
        browser = Client()
        page = browser.get(f"{LOGIN}callback/", query)
        assert "did not sign you in" in page.content.decode()
        assert signed_in_as(browser) is None
    page = Client().get(LOGIN)  # a link does not start a sign-in
    assert (page.status_code, "Continue with Wonderland" in page.content.decode()) == (200, True)


def test_a_redirect_afterwards_stays_on_this_site(site: other_site.OtherSite) -> None:
    assert come_back(Client(), next="https://evil.example/").url == "/"


def test_the_pages_have_a_button_for_each_site_and_may_redirect_there(catalogue: None, settings: Any) -> None:
    for name in ("account_login", "account_signup"):
        page = Client().get(reverse(name))
        assert "Continue with Wonderland" in page.content.decode()
        assert "form-action 'self' http://127.0.0.1:1" in page["Content-Security-Policy"]
    settings.SOCIAL_LOGIN = []
    assert "Wonderland" not in Client().get(reverse("account_login")).content.decode()


def test_without_the_variable_there_are_no_routes() -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SOCIAL", "OIDC"))}
    variables |= {"DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": "postgres://n@127.0.0.1:1/n"}
    code = (
        "import django; django.setup()\nfrom config.urls import urlpatterns\n"
        "from django.urls import resolve\n"
        "resolve('/accounts/login/'), resolve('/accounts/2fa/'), resolve('/accounts/sessions/')\n"
        "resolve('/accounts/3rdparty/')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert run.stderr.strip().splitlines()[-1].startswith("django.urls.exceptions.Resolver404")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SOCIAL_LOGIN": "gogle"}, "SOCIAL_LOGIN has “gogle”: use google, github, oidc"),
        ({"SOCIAL_LOGIN": "google"}, "GOOGLE_CLIENT_ID is missing"),
        ({"SOCIAL_LOGIN": "github", "GITHUB_CLIENT_ID": "x"}, "GITHUB_CLIENT_SECRET is missing"),
        (
            {"SOCIAL_LOGIN": "oidc", "OIDC_CLIENT_ID": "x", "OIDC_CLIENT_SECRET": "y"},
            "OIDC_SERVER_URL is missing",
        ),
        (
            {
                "SOCIAL_LOGIN": "oidc",
                "OIDC_CLIENT_ID": "x",
                "OIDC_CLIENT_SECRET": "y",
                "OIDC_SERVER_URL": "http://id.example",
            },
            "OIDC_SERVER_URL is “http://id.example”",
        ),
    ],
)
def test_a_wrong_value_is_refused_at_start(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message.replace("(", r"\(")):
        social_login.read(Environment(variables))


def test_google_and_github_are_configured_by_their_variables() -> None:
    variables = {f"{name}_CLIENT_{part}": "x" for name in ("GOOGLE", "GITHUB") for part in ("ID", "SECRET")}
    found = social_login.read(Environment(variables | {"SOCIAL_LOGIN": "github, google"}))
    assert found.names == ["github", "google"]
    assert found.pages == ["https://github.com", "https://accounts.google.com"]
