"""The page of the audit log: who may read it, its filters and search, and what forms of the admin record."""

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from core import staff_acts
from core.models import StaffAct
from tests.conftest import person
from tests.forms.test_staff import inline_counts

LIST = "/admin/core/staffact/"


@pytest.fixture
def acts(staff, alice, charlie, account_of):
    """An act on alice's account and one on charlie's user, by two people."""
    other = person("erin", is_staff=True)
    now = timezone.now()
    first = staff_acts.record(
        actor_id=staff.pk, act="account.change", subject=account_of(alice), reason="asked by phone", now=now
    )
    second = staff_acts.record(
        actor_id=other.pk,
        act="user.end_sessions",
        subject=charlie,
        before={"<b>": "<script>"},
        after={"language": "de"},
        now=now,
    )
    return first, second


def test_the_log_is_filtered_and_searched(acts, staff, alice, charlie, account_of, signed_in):
    first, second = acts
    browser = signed_in(staff)
    for query, found in (
        ({"actor": str(staff.pk)}, [first]),
        ({"actor": "nobody"}, []),
        ({"act": "user.end_sessions"}, [second]),
        ({"q": "erin@example.org"}, [second]),
        ({"q": account_of(alice).public_id}, [first]),
        ({"q": account_of(alice).name}, [first]),
        ({"q": charlie.public_id}, [second]),
        ({"q": "by phone"}, [first]),
        ({"created_at__gte": "2026-01-01 00:00:00+00:00", "act": "account.change"}, [first]),
    ):
        listed = browser.get(LIST, query).context["cl"].result_list
        assert {act.pk for act in listed} == {act.pk for act in found}, query


def test_an_act_shows_its_changes_and_no_markup(acts, staff, signed_in):
    page = signed_in(staff).get(f"{LIST}{acts[1].pk}/change/").content.decode()
    assert "<code>language</code>: – → de" in page
    assert "&lt;script&gt;" in page
    assert "<script>: " not in page


def test_nobody_changes_or_deletes_an_act_in_the_admin(acts, staff, signed_in):
    browser, act = signed_in(staff), acts[0]
    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.post(f"{LIST}{act.pk}/change/", {"reason": "x"}).status_code == 403
    assert browser.post(f"{LIST}{act.pk}/delete/", {"post": "yes"}).status_code == 403
    browser.post(LIST, {"action": "delete_selected", "_selected_action": [str(act.pk)], "post": "yes"})
    assert StaffAct.objects.count() == 2


@pytest.mark.fault("Z6")
def test_the_log_needs_its_permission(acts, signed_in):
    helper = person("helper", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    assert signed_in(helper).get(LIST).status_code == 403
    assert signed_in(helper).get(f"{LIST}{acts[0].pk}/change/").status_code == 403


def test_a_deactivation_is_recorded_and_names_are_not(staff, charlie, signed_in):
    browser, path = signed_in(staff), f"/admin/accounts/user/{charlie.pk}/change/"
    form = {"first_name": "Carol", "last_name": "", "language": "", "role": "none"} | inline_counts(
        browser, path
    )
    assert browser.post(path, form).status_code == 302
    act = StaffAct.objects.get()
    assert (act.act, act.actor_id, act.subject_id) == ("user.change", staff.pk, str(charlie.pk))
    assert act.before == {"first_name": "…", "is_active": True}
    assert act.after == {"first_name": "…", "is_active": False}
    browser.post(path, form)
    assert StaffAct.objects.count() == 1  # nothing has changed
