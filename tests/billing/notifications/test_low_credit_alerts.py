"""Low-credit alerts: one e-mail each time the balance falls below the threshold."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Membership, User
from billing import ledger, provisioning, tasks
from billing.models import AlertSettings, Mail, Notice, Wallet
from billing.notifications import alert_addresses, low_credit_alerts
from core.amounts import plain
from pricing.models import Plan
from tests.billing.conftest import change_policies

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("APIN-07", "FLOW-08")
def test_each_fall_below_the_threshold_sends_one_e_mail(
    alert: None, use: Callable[[str], None], account: Account
) -> None:
    for credits in ("40", "15", "5", "5"):  # 100 -> 60 -> 45 -> 40 -> 35
        use(credits)
    tasks.queue_notices()
    tasks.send_emails()

    assert len(mail.outbox) == 1
    assert sorted(mail.outbox[0].to) == ["alice@example.org", "ops@example.org"]
    assert "35 credits left" in mail.outbox[0].subject
    ledger.grant(
        account_id=account.pk,
        credits=Decimal(100),
        kind="bonus",
        label="x",
        key="x",
        now=timezone.now(),
    )
    use("100")
    tasks.queue_notices()
    tasks.send_emails()
    tasks.queue_notices()
    tasks.send_emails()
    assert len(mail.outbox) == 2


def test_a_disabled_alert_sends_nothing(alert: None, use: Callable[[str], None], account: Account) -> None:
    low_credit_alerts.save_settings(
        account_id=account.pk,
        enabled=False,
        below=Decimal(50),
        by_email=True,
        extra_addresses=[],
        now=timezone.now(),
    )
    use("60")
    tasks.queue_notices()
    tasks.send_emails()

    assert mail.outbox == []
    assert Wallet.objects.get(pk=account.pk).warn_below is None


def test_the_page_saves_the_settings_and_shows_errors(
    alice: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    form = {
        "enabled": "on",
        "below": "12.5",
        "by_email": "on",
        "extra_addresses": "a@example.org, b@example.org",
    }

    assert browser.post("/billing/alerts/", form).status_code == 302
    assert 'value="12.5"' in browser.get("/billing/alerts/").content.decode()
    wrong = browser.post("/billing/alerts/", form | {"extra_addresses": "nobody"})
    assert (wrong.status_code, "“nobody” is not an e-mail address" in wrong.content.decode()) == (422, True)
    assert browser.post("/billing/alerts/", form | {"below": "-1"}).status_code == 422


class TestWhoIsWritten:
    """Alice's account has 100 credits; what becomes of one notice."""

    def settings(self, account: Account, **terms: Any) -> None:
        values = {"enabled": True, "below": Decimal(50), "by_email": True, "extra_addresses": []} | terms
        low_credit_alerts.save_settings(account_id=account.pk, now=timezone.now(), **values)

    @pytest.mark.parametrize(("amount", "words"), [("99.999999", "credits left"), ("100", "used up")])
    def test_the_e_mail_says_whether_anything_is_left(
        self, account: Account, use: Callable[[str], None], amount: str, words: str
    ) -> None:
        self.settings(account)
        use(amount)
        tasks.queue_notices()
        tasks.send_emails()

        [sent] = mail.outbox
        kind = "credits_low" if words == "credits left" else "credits_depleted"
        assert (Mail.objects.get().template, sent.to) == (kind, ["alice@example.org"])
        assert Mail.objects.get().context == {"balance": plain(Decimal(100) - Decimal(amount)), "below": "50"}

    def test_an_address_that_is_given_twice_is_written_once(
        self, account: Account, use: Callable[[str], None]
    ) -> None:
        self.settings(account, extra_addresses=["ops@example.org", "alice@example.org", "ops@example.org"])
        alert_addresses.confirm(account.pk, "ops@example.org")
        Mail.objects.all().delete()
        use("60")
        tasks.queue_notices()
        tasks.send_emails()

        assert [one.to for one in mail.outbox] == [["alice@example.org", "ops@example.org"]]

    @pytest.mark.parametrize("change", ["no e-mail", "disabled since", "no settings"])
    def test_a_notice_that_nobody_wants_is_handled_without_an_e_mail(
        self, account: Account, use: Callable[[str], None], change: str
    ) -> None:
        self.settings(account, by_email=change != "no e-mail")
        use("60")
        if change == "disabled since":
            self.settings(account, enabled=False)
        elif change == "no settings":
            AlertSettings.objects.all().delete()
        tasks.queue_notices()
        tasks.send_emails()

        assert mail.outbox == []
        assert Notice.objects.get().handled_at is not None

    def test_notices_are_handled_once_oldest_first_and_up_to_a_number(
        self, account: Account, use: Callable[[str], None]
    ) -> None:
        now = timezone.now()
        for below in "200", "300", "400":  # each above the balance: noticed at once after it was disabled
            self.settings(account, enabled=False)
            self.settings(account, below=Decimal(below))
        assert Notice.objects.count() == 3
        assert low_credit_alerts.queue_emails(now, limit=2) == 2
        assert list(Notice.objects.order_by("pk").values_list("handled_at", flat=True)) == [now, now, None]
        assert low_credit_alerts.queue_emails(now) == 1
        assert low_credit_alerts.queue_emails(now) == 0
        assert [one.key for one in Mail.objects.order_by("pk")] == [
            f"notice:{one.pk}" for one in Notice.objects.order_by("pk")
        ]


class TestSettings:
    def test_a_new_account_has_the_catalogues_threshold_and_it_is_set_once(self, account: Account) -> None:
        settings = low_credit_alerts.get_settings(account.pk)
        assert (settings.enabled, settings.below, settings.by_email, settings.extra_addresses) == (
            True, 20, True, [],
        )  # fmt: skip
        assert Wallet.objects.get(pk=account.pk).warn_below == 20
        low_credit_alerts.save_settings(
            account_id=account.pk, enabled=True, below=Decimal("7.5"), by_email=False,
            extra_addresses=["ops@example.org"], now=timezone.now(),
        )  # fmt: skip
        low_credit_alerts.create_settings(account_id=account.pk, now=timezone.now())
        settings = low_credit_alerts.get_settings(account.pk)
        assert (settings.enabled, settings.below, settings.by_email, settings.extra_addresses) == (
            True, Decimal("7.5"), False, ["ops@example.org"],
        )  # fmt: skip
        assert Wallet.objects.get(pk=account.pk).warn_below == Decimal("7.5")

    def test_without_a_threshold_in_the_catalogue_alerts_are_disabled(self, account: Account) -> None:
        AlertSettings.objects.all().delete()
        ledger.set_warning(account_id=account.pk, below=None, now=timezone.now())
        change_policies(low_credits_below="0")
        low_credit_alerts.create_settings(account_id=account.pk, now=timezone.now())
        settings = low_credit_alerts.get_settings(account.pk)
        assert (settings.enabled, settings.below) == (False, 0)
        assert Wallet.objects.get(pk=account.pk).warn_below is None

    def test_an_account_without_settings_has_alerts_disabled(self, account: Account) -> None:
        AlertSettings.objects.all().delete()
        settings = low_credit_alerts.get_settings(account.pk)
        assert (settings.pk, settings.enabled) == (account.pk, False)
        assert not AlertSettings.objects.exists()


@pytest.mark.parametrize(
    ("change", "template", "balance"),
    [
        ("60.5", None, None),  # above the threshold again
        ("10", "credits_low", "49.5"),
        ("-39.5", "credits_depleted", "0"),
    ],
)
def test_the_e_mail_states_the_balance_at_the_time_it_is_queued(
    alert: None, use: Callable[[str], None], account: Account, change: str, template: str, balance: str
) -> None:
    use("60.5")
    ledger.adjust(
        account_id=account.pk, credits=Decimal(change), key="a", reason="r", actor="a", now=timezone.now()
    )
    tasks.queue_notices()
    tasks.send_emails()

    queued = [(one.template, one.context["balance"]) for one in Mail.objects.all()]
    assert queued == ([(template, balance)] if template else [])
    assert not Notice.objects.filter(handled_at=None).exists()


def test_a_notice_of_an_account_that_is_due_waits_until_it_is_settled(
    alert: None, use: Callable[[str], None], account: Account, clock: Any
) -> None:
    """The daily credits of the next day arrive before the e-mail would say that there are none."""
    use("100")
    clock.shift(86_400)
    tasks.queue_notices()
    tasks.send_emails()
    assert (mail.outbox, Notice.objects.filter(handled_at=None).count()) == ([], 1)
    ledger.settle([account.pk], timezone.now())
    tasks.queue_notices()
    tasks.send_emails()
    assert (mail.outbox, Notice.objects.filter(handled_at=None).count()) == ([], 0)


@pytest.mark.requirement("APIN-07")
def test_a_new_account_without_credits_gets_no_e_mail_and_one_when_it_has_used_its_first_up(
    catalogue: None,
) -> None:
    """Catalogues without a free plan, or whose free credits wait for a verified address."""
    Plan.objects.filter(free=True).update(allowances=[])
    account = Account.objects.create(name="New", kind=Account.Kind.TEAM, created_at=timezone.now())
    user = User.objects.create_user("new@example.org")
    Membership.objects.create(
        account=account, user=user, role=Membership.Role.OWNER, created_at=timezone.now()
    )
    provisioning.open_account(account=account, user=user, now=timezone.now())
    tasks.queue_notices()
    tasks.send_emails()
    assert mail.outbox == []

    ledger.grant(
        account_id=account.pk, credits=Decimal(90), kind="top_up", label="x", key="x", now=timezone.now()
    )
    request = ledger.ChargeRequest(account_id=account.pk, credits=Decimal(85), key="u", service="gpt-4o")
    ledger.charge(request, timezone.now())
    tasks.queue_notices()
    tasks.send_emails()
    assert [(one.to, one.subject) for one in mail.outbox] == [(["new@example.org"], "Refly: 5 credits left")]


class TestFurtherThresholds:
    @pytest.fixture
    def thresholds(self, account: Account) -> None:
        low_credit_alerts.save_settings(
            account_id=account.pk,
            enabled=True,
            below=Decimal(50),
            also_below=[Decimal(5), Decimal(80), Decimal(20), Decimal(50)],
            by_email=True,
            extra_addresses=[],
            now=timezone.now(),
        )

    def texts(self) -> list[str]:
        """What the e-mails since the last call say about thresholds."""
        for _time in range(2):
            tasks.queue_notices()
        tasks.send_emails()
        found = [
            str(message.body).partition("your threshold of ")[2].partition(" ")[0] for message in mail.outbox
        ]
        mail.outbox.clear()
        return found

    def test_each_is_an_e_mail_whenever_the_balance_falls_below_it(
        self, thresholds: None, use: Callable[[str], None], account: Account
    ) -> None:
        found = []
        for credits in ("20", "5", "45", "15", "5"):  # 100 -> 80 -> 75 -> 30 -> 15 -> 10
            use(credits)
            found.append(self.texts())
        assert found == [[], ["80."], ["50."], ["20."], []]
        bonus = {"kind": "bonus", "label": "x", "key": "x", "now": timezone.now()}
        ledger.grant(account_id=account.pk, credits=Decimal(15), **bonus)
        assert self.texts() == []
        use("10")
        assert self.texts() == ["20."], "it was above the threshold again"

    def test_several_at_once_are_one_e_mail_about_the_lowest(
        self, thresholds: None, use: Callable[[str], None]
    ) -> None:
        use("96")
        assert self.texts() == ["5."], "also where the ledger watches one of them"

    def test_a_fall_between_the_two_steps_of_the_task_is_one_e_mail(
        self, thresholds: None, use: Callable[[str], None]
    ) -> None:
        """The notice of the fall is handled in the next run, with all the thresholds."""
        now = timezone.now()
        low_credit_alerts.queue_emails(now)
        use("85")
        assert low_credit_alerts.queue_further(now) == 0
        assert self.texts() == ["20."]

    def test_those_that_are_passed_when_they_are_saved_are_not_reported(
        self, use: Callable[[str], None], account: Account
    ) -> None:
        use("85")
        self.texts()
        settings = low_credit_alerts.save_settings(
            account_id=account.pk, enabled=True, below=Decimal(0), also_below=[Decimal(20), Decimal(10)],
            by_email=True, extra_addresses=[], now=timezone.now(),
        )  # fmt: skip
        assert settings.also_below == [Decimal(20), Decimal(10)]
        assert self.texts() == []
        use("6")
        assert self.texts() == ["10."]

    @pytest.mark.parametrize("off", [{"enabled": False}, {"by_email": False}])
    def test_disabled_alerts_send_nothing(
        self, thresholds: None, use: Callable[[str], None], account: Account, off: dict[str, bool]
    ) -> None:
        AlertSettings.objects.filter(account=account).update(**off)
        use("30")
        assert self.texts() == []
