"""`manage.py check_production` reports each part, whatever is wrong with another."""

from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.checks import Warning
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import api_keys
from accounts.models import User
from billing.management.commands import check_production

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def any_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """The date of a run is not that of the database."""
    monkeypatch.setattr(check_production, "LARGEST_DIFFERENCE_SECONDS", float("inf"))


def report(**options: Any) -> dict[str, str]:
    """The line of each part, without its name."""
    output = StringIO()
    try:
        call_command("check_production", stdout=output, **options)
    except CommandError as error:
        assert "are not ready" in str(error)
    lines = output.getvalue().splitlines()
    return {name: f"{state} {text}" for state, name, text in (_parsed(line) for line in lines)}


def _parsed(line: str) -> tuple[str, str, str]:
    name, _colon, text = line[8:].partition(": ")
    return line[:8].strip(), name, text


def test_each_part_is_reported_and_names_what_to_do(
    stripe_api: Any, catalogue: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PRODUCTION = False
    monkeypatch.setattr(check_production.checks, "run_checks", lambda **_: [Warning("unsafe", id="x.W1")])
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    found = report()
    assert found["settings"] == "FAILED set REFILL_ENV=production"
    assert found["system checks"] == "FAILED x.W1 unsafe"
    assert found["cache"] == "FAILED it does not return what was stored"
    assert found["mail server"].startswith("FAILED ConnectionRefusedError")
    assert found["staff"].startswith("FAILED") and "createsuperuser" in found["staff"]
    assert found["platform key"].startswith("FAILED") and "issue_platform_key" in found["platform key"]
    assert found["migrations"] == "ok all applied"
    assert found["broker"] == "ok answers (memory)" and found["clocks"].startswith("ok")
    assert found["Stripe"].startswith("ok acct_")


def test_an_installation_that_is_ready_passes(
    stripe_api: Any, staff: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PRODUCTION = True
    monkeypatch.setattr(check_production.checks, "run_checks", lambda **_: [])
    call_command("issue_platform_key", name="backend", stdout=StringIO(), stderr=StringIO())
    output = StringIO()
    call_command("check_production", stdout=output, mail_to="ops@example.org")
    assert "FAILED" not in output.getvalue()
    assert mail.outbox[-1].to == ["ops@example.org"]


def test_a_stripe_that_refuses_or_is_another_account_is_reported(
    stripe_api: Any, catalogue: None, settings: Any
) -> None:
    settings.STRIPE_ACCOUNT = "acct_another"
    assert report()["Stripe"].startswith("FAILED the key is of acct_")


class TestIssuingAKey:
    def test_prints_the_secret_alone_and_stores_its_hash(self) -> None:
        secret, words = StringIO(), StringIO()
        call_command("issue_platform_key", name="backend", scopes=["read"], stdout=secret, stderr=words)
        principal = api_keys.verify(secret.getvalue().strip(), timezone.now())
        assert (principal.account_id, list(principal.scopes)) == (None, ["read"])
        assert secret.getvalue().strip() not in words.getvalue()

    @pytest.mark.parametrize("name", [" ", "x" * 101])
    def test_needs_a_name(self, name: str) -> None:
        with pytest.raises(CommandError, match="1 to 100"):
            call_command("issue_platform_key", name=name)
