"""/exports: files of the history that are written in the background."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.notifications import emails
from tests.usage.api.conftest import give, use
from usage.history import exports
from usage.models import Export

pytestmark = [pytest.mark.usefixtures("clock"), pytest.mark.requirement("CORE-07")]


@pytest.fixture
def spent(account: Account, api: Any) -> Account:
    """The account with a pack of 50 credits, and three charges with conversations."""
    give(account, "50")
    for number in range(3):
        api.post("charges", use(conversation=f"c-{number}"), key=f"c{number}")
    return account


def rows_of(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_an_export_is_started_watched_and_downloaded(spent: Account, api: Any) -> None:
    started = api.post("exports", {"search": "c-1"})
    assert (started.status_code, started.json()) == (
        201,
        {
            "id": Export.objects.get().public_id,
            "account": spent.public_id,
            "state": "waiting",
            "percent": 0,
            "rows": 0,
            "kind": None,
            "grant": None,
            "search": "c-1",
            "created_at": "2026-11-20T12:00:00Z",
            "expires_at": None,
        },
    )
    path = f"exports/{started.json()['id']}"
    assert code_of(api.get(f"{path}/file")) == (409, "export_not_ready")
    api.post("charges", use(conversation="c-1 later"), key="later")
    exports.write_waiting(timezone.now())
    shown = api.get(path).json()
    assert (shown["state"], shown["percent"], shown["rows"]) == ("ready", 100, 1)
    assert shown["expires_at"] == "2026-11-27T12:00:00Z"
    assert api.get("exports").json()["data"] == [shown]
    file = api.get(f"{path}/file")
    assert file["Content-Type"].startswith("text/csv")
    assert file["Content-Disposition"] == 'attachment; filename="history-2026-11-20.csv"'
    [row] = rows_of(file)
    assert (row["conversation"], row["credits"]) == ("c-1", "-11")


def test_each_filter_is_applied(spent: Account, api: Any, clock: Any) -> None:
    pack = next(one["id"] for one in api.get("grants").json()["data"] if one["kind"] == "top_up")
    clock.shift(60)
    api.post("charges", use(conversation="newest"), key="newest")
    later = {"from": "2026-11-20T12:00:30Z"}
    kinds = {}
    for name, body in {
        "all": {},
        "kind": {"kind": "charge"},
        "grant": {"grant": pack},
        "from": later,
        "to": {"to": "2026-11-20T12:00:30Z"},
        "period": later | {"to": "2026-11-20T12:00:31Z"},
    }.items():
        export = api.post("exports", body).json()["id"]
        exports.write_waiting(timezone.now())
        kinds[name] = sorted(row["kind"] for row in rows_of(api.get(f"exports/{export}/file")))
    charges = ["charge"] * 3
    assert kinds == {
        "all": [*charges, "charge", "grant", "grant"],
        "kind": [*charges, "charge"],
        "grant": ["grant"],
        "from": ["charge"],
        "to": [*charges, "grant", "grant"],
        "period": [],
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "none"}, "kind"),
        ({"grant": "grant_x"}, "grant"),
        ({"search": "x" * 201}, "search"),
        ({"from": "2026-11-20"}, "from"),
        ({"from": "2026-11-20T12:00:00Z", "to": "2026-11-20T12:00:00Z"}, "to"),
        ({"since": "2026-11-20"}, "since"),
    ],
)
def test_an_invalid_filter_is_named(api: Any, body: dict[str, str], field: str) -> None:
    refused = api.post("exports", body)
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert not Export.objects.exists()


def test_a_repeated_key_starts_one_export(spent: Account, api: Any) -> None:
    first, again = (api.post("exports", {}, key="once") for _ in range(2))
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert Export.objects.count() == 1


def test_three_exports_wait_at_a_time_whoever_asked(spent: Account, alice: User, api: Any) -> None:
    browser = Client()
    browser.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    browser.post("/exports/")
    for _ in range(2):
        assert api.post("exports", {}).status_code == 201
    assert code_of(api.post("exports", {})) == (409, "too_many_exports")
    page = browser.post("/exports/", follow=True).content.decode()
    assert "Wait until one is ready" in page
    assert Export.objects.count() == 3


def test_a_member_in_a_browser_gets_an_e_mail_and_a_program_none(
    spent: Account, alice: User, api: Any
) -> None:
    api.post("exports", {})
    exports.write_waiting(timezone.now())
    emails.send_due(timezone.now())
    assert mail.outbox == []
    browser = Client()
    browser.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert browser.post("/api/v1/exports", {}, content_type="application/json").status_code == 201
    exports.write_waiting(timezone.now())
    emails.send_due(timezone.now())
    assert [message.to for message in mail.outbox] == [[alice.email]]


def test_a_file_that_cannot_be_written_says_so(
    spent: Account, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = api.post("exports", {}).json()["id"]
    Export.objects.update(state="failed")
    assert api.get(f"exports/{started}").json()["state"] == "failed"
    refused = api.get(f"exports/{started}/file")
    assert code_of(refused) == (409, "export_not_ready")
    assert "Request another export" in refused.json()["detail"]


def test_an_expired_export_is_gone_before_its_file_is_deleted(spent: Account, api: Any, clock: Any) -> None:
    started = api.post("exports", {}).json()["id"]
    exports.write_waiting(timezone.now())
    clock.shift(exports.KEPT - timedelta(seconds=1))
    assert api.get(f"exports/{started}").status_code == 200
    clock.shift(1)
    for path in (f"exports/{started}", f"exports/{started}/file"):
        assert code_of(api.get(path)) == (404, "not_found")
    assert api.get("exports").json()["data"] == []


def test_a_plain_member_may_export_as_in_the_portal_and_charlie_sees_nothing(
    team: Account, alice: User, bob: User, charlie: User, api_of: Any, platform_api: Any
) -> None:
    started = api_of(alice, account=team).post("exports", {}).json()["id"]
    exports.write_waiting(timezone.now())
    of_bob = api_of(bob, account=team, scopes=["read"])
    assert of_bob.get(f"exports/{started}/file").status_code == 200
    assert of_bob.post("exports", {}).status_code == 201
    stranger = api_of(charlie)
    for path in (f"exports/{started}", f"exports/{started}/file"):
        assert code_of(stranger.get(path)) == (404, "not_found")
        assert platform_api.get(path).status_code == 200
    assert stranger.get("exports").json()["data"] == []
