"""Fragments that htmx refreshes: credit counter, transactions, charges; and ended sessions."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Charge, Wallet
from tests.usage.spending import give, spend
from usage import live_updates
from usage.dashboard import activity

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/history/?kind=charge"}


def version(account: Account) -> str:
    return live_updates.version_of(account.pk, timezone.now())


def newest_entry(account: Account) -> int:
    return Wallet.objects.get(account=account).seq


@pytest.mark.requirement("FLICK-05")
def test_the_counter_has_no_content_while_nothing_has_changed(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    seen = version(account_of(alice))
    response = signed_in(alice).get(f"/counter?seen={seen}", headers=HTMX)
    assert response.status_code == 204
    assert response.content == b""


@pytest.mark.requirement("FLICK-05")
def test_the_counter_shows_the_new_balance_and_triggers_the_refresh_of_the_page(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    seen = version(account)
    spend(account, "37.5", timezone.now())
    response = signed_in(alice).get(f"/counter?seen={seen}", headers=HTMX)
    page = response.content.decode()
    assert response.status_code == 200
    assert response["HX-Trigger"] == "balance-changed"
    assert "62.5" in page
    assert f"seen={version(account)}" in page
    assert "Balance updated: 62.5 credits available." in page  # live region


@pytest.mark.requirement("REFLY-10", "FLICK-05")
def test_a_use_without_credits_triggers_the_refresh_too(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, client = account_of(alice), signed_in(alice)
    seen, last_entry = version(account), newest_entry(account)
    since = activity.latest(account, size=1)[0].microseconds
    spend(account, "0", timezone.now(), covered_by="unlimited", conversation="c-82")
    assert newest_entry(account) == last_entry + 1  # a covered use writes an entry of no credits
    response = client.get(f"/counter?seen={seen}", headers=HTMX)
    assert (response.status_code, response["HX-Trigger"]) == (200, "balance-changed")
    assert client.get(f"/counter?seen={version(account)}", headers=HTMX).status_code == 204
    page = client.get(f"/dashboard/activity?since={since}", headers=HTMX).content.decode()
    new = page[page.index('class="is-new"') :]
    assert Charge.objects.get(conversation="c-82").public_id in new and "unlimited" in new


@pytest.mark.requirement("FLICK-05")
def test_the_usage_page_inserts_new_charges(alice: User, account_of: AccountOf, signed_in: SignedIn) -> None:
    account, client = account_of(alice), signed_in(alice)
    spend(account, "5", timezone.now(), conversation="c-83")
    first = client.get("/usage/").context["page"].charge_rows[0].charge.public_id
    assert f"newer={first}" in client.get("/usage/").content.decode()
    spend(account, "0", timezone.now(), covered_by="own_key", conversation="c-84")
    rows = client.get(f"/usage/?newer={first}", headers=HTMX).content.decode()
    assert "c-84" in rows and "c-83" not in rows and "<html" not in rows
    newest = client.get("/usage/").context["page"].charge_rows[0].charge.public_id
    assert f"newer={newest}" in rows  # the next poll starts there
    assert "c-8" not in client.get(f"/usage/?newer={newest}", headers=HTMX).content.decode()


@pytest.mark.requirement("REFLY-05")
def test_the_counter_shows_the_daily_reset_without_a_periodic_task(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, client = account_of(alice), signed_in(alice)
    spend(account, "60", timezone.now())
    seen = version(account)
    assert client.get(f"/counter?seen={seen}").status_code == 204
    clock.shift(12 * 3600 + 1)  # type: ignore[attr-defined]
    response = client.get(f"/counter?seen={seen}")
    assert response.status_code == 200
    assert ">100</span>" in response.content.decode()


@pytest.mark.parametrize("seen", ["", "-1", "abc", "99999999999999999999999999", "%00"])
def test_an_invalid_version_returns_the_current_balance(alice: User, signed_in: SignedIn, seen: str) -> None:
    assert signed_in(alice).get(f"/counter?seen={seen}").status_code == 200


def test_fragments_are_not_cached(alice: User, signed_in: SignedIn) -> None:
    for path in ("/counter", "/dashboard/balance", "/dashboard/activity", "/history/newer"):
        assert "no-store" in signed_in(alice).get(path)["Cache-Control"]


@pytest.mark.requirement("FLICK-05")
def test_a_new_transaction_is_marked_as_new(alice: User, account_of: AccountOf, signed_in: SignedIn) -> None:
    account = account_of(alice)
    give(account, "10", timezone.now())
    since = activity.latest(account, size=1)[0].microseconds
    spend(account, "5", timezone.now())
    page = signed_in(alice).get(f"/dashboard/activity?since={since}", headers=HTMX).content.decode()
    assert page.count('class="is-new"') == 1
    new = page[page.index('class="is-new"') :]
    assert "Claude Sonnet 4" in new[: new.index("</tr>")]


def test_the_history_inserts_new_rows_and_keeps_polling(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    seen = newest_entry(account)
    spend(account, "5", timezone.now())
    page = signed_in(alice).get(f"/history/newer?seen={seen}", headers=HTMX).content.decode()
    assert page.count('id="entry-') == 1
    assert f"seen={newest_entry(account)}" in page
    assert 'hx-trigger="balance-changed from:body"' in page


def test_new_rows_match_the_filters_of_the_page(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    spend(account_of(alice), "5", timezone.now())
    page = signed_in(alice).get("/history/newer?kind=expire&seen=0", headers=HTMX).content.decode()
    assert 'id="entry-' not in page


@pytest.mark.fault("W2")
@pytest.mark.parametrize(
    "path", ["/counter?seen=1", "/dashboard/balance", "/history/newer?seen=0", "/history/"]
)
def test_after_the_session_has_ended_the_whole_page_redirects_to_sign_in(
    client: Client, db: None, path: str
) -> None:
    response = client.get(path, headers=HTMX)
    assert response.status_code == 200
    assert response["HX-Redirect"] == "/accounts/login/?next=%2Fhistory%2F%3Fkind%3Dcharge"
    assert b"<form" not in response.content


@pytest.mark.fault("W2", "W3")
def test_the_redirect_after_sign_in_stays_on_this_site(client: Client, db: None) -> None:
    elsewhere = {"HX-Request": "true", "HX-Current-URL": "https://evil.example/steal"}
    response = client.get("/counter", headers=elsewhere)
    assert response["HX-Redirect"] == "/accounts/login/?next=%2F"


@pytest.mark.fault("W2")
def test_a_late_answer_to_a_fragment_leaves_the_cookie_of_the_new_session(client: Client, db: None) -> None:
    ended = {settings.SESSION_COOKIE_NAME: "replaced-by-a-new-sign-in"}
    for path, headers in [
        ("/counter?seen=1", HTMX),
        ("/dashboard/balance", HTMX),
        ("/live", {"Accept": "text/event-stream"}),
    ]:
        client.cookies.load(ended)
        assert settings.SESSION_COOKIE_NAME not in client.get(path, headers=headers).cookies, path
    client.cookies.load(ended)
    assert client.get("/history/").cookies[settings.SESSION_COOKIE_NAME].value == ""


@pytest.mark.fault("Z1", "Z2")
def test_fragments_show_only_the_own_account(
    alice: User, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    give(account_of(alice), "98765", timezone.now(), label="Secret pack")
    for path in ("/counter", "/dashboard/balance", "/dashboard/activity", "/history/newer?seen=0"):
        page = signed_in(charlie).get(path, headers=HTMX).content.decode()
        assert "98,765" not in page and "Secret pack" not in page, path


def test_polling_needs_few_queries(
    alice: User,
    account_of: AccountOf,
    signed_in: SignedIn,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    client, seen = signed_in(alice), version(account_of(alice))
    client.get(f"/counter?seen={seen}")
    with django_assert_max_num_queries(4):  # type: ignore[attr-defined] - session, user, membership, wallet
        assert client.get(f"/counter?seen={seen}").status_code == 204
