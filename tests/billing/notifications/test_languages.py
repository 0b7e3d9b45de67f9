"""Each recipient of an e-mail reads it in the own language, and only once."""

from collections.abc import Iterator

import pytest
from django.core import mail
from django.utils import timezone, translation

from accounts.models import Account, Membership, User
from billing.models import Mail
from billing.notifications import emails
from tests import languages

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def marked() -> Iterator[None]:
    with languages.marked():
        yield


@pytest.fixture
def owners(team: Account, alice: User, bob: User) -> Account:
    """The team with two owners: alice reads Chinese, bob English."""
    Membership.objects.filter(account=team).update(role=Membership.Role.OWNER)
    User.objects.filter(pk=alice.pk).update(language="zh-hans", browser_language="en")
    User.objects.filter(pk=bob.pk).update(language="en", browser_language="zh-hans")
    return team


def queue(account: Account | None, *, also_to: list[str] | None = None, only_to: str = "") -> None:
    emails.queue(
        account_id=account.pk if account else None,
        template="credits_low",
        key="k",
        context={"balance": "1234.5", "below": "2000"},
        also_to=also_to,
        only_to=only_to,
        now=timezone.now(),
    )


def sent() -> dict[str, str]:
    """The text of each e-mail by its recipients."""
    emails.send_due(timezone.now())
    return {" ".join(sorted(one.to)): f"{one.subject}\n{one.body}" for one in mail.outbox}


def test_owners_of_one_team_read_it_in_their_languages(owners: Account) -> None:
    with translation.override("zh-hans"):  # the language of the request that caused it is of no matter
        queue(owners)
    texts = sent()
    assert set(texts) == {"alice@example.org", "bob@example.org"}
    assert "【Buy credits】" in texts["alice@example.org"]
    assert "【" not in texts["bob@example.org"]
    assert all("1,234.5" in text for text in texts.values())


def test_who_has_chosen_no_language_gets_that_of_the_browser(owners: Account) -> None:
    User.objects.update(language="")
    queue(owners)
    texts = sent()
    assert "【" in texts["bob@example.org"] and "【" not in texts["alice@example.org"]


def test_recipients_of_one_language_share_an_e_mail(owners: Account) -> None:
    User.objects.update(language="zh-hans")
    queue(owners)
    assert list(sent()) == ["alice@example.org bob@example.org"]


def test_an_event_that_is_reported_again_after_a_change_of_language_sends_nothing(owners: Account) -> None:
    queue(owners)
    sent()
    for language in ("en", "zh-hans"):
        User.objects.update(language=language)
        queue(owners)
        assert len(sent()) == 2 == Mail.objects.count()


def test_an_address_without_a_user_is_written_to_in_the_language_of_the_first_owner(owners: Account) -> None:
    queue(owners, also_to=["ops@example.org"])
    assert "【" in sent()["alice@example.org ops@example.org"]


def test_an_invited_address_is_written_to_in_the_language_of_the_first_owner(owners: Account) -> None:
    queue(owners, only_to="dora@example.org")
    assert "【" in sent()["dora@example.org"]


def test_e_mails_to_staff_are_in_their_languages(staff: User) -> None:
    queue(None, also_to=[staff.email, "root@example.org"])
    assert list(sent()) == ["root@example.org staff@example.org"]
    assert Mail.objects.get().language == "en"


def test_an_e_mail_queued_by_an_earlier_release_states_its_date(account: Account) -> None:
    for day in ("2027-05-01", "1 May 2027"):
        emails.queue(
            account_id=account.pk,
            template="credits_expiring",
            key=day,
            context={"credits": "5", "label": "Small", "day": day},
            now=timezone.now(),
        )
    emails.send_due(timezone.now())
    assert all("5 credits expire on 1 May 2027" in one.subject for one in mail.outbox)
    assert len(mail.outbox) == 2
