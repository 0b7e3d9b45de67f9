"""Projects of one account that are created or renamed at the same time, with real threads and commits."""

from collections.abc import Callable

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, Project, User
from tests.integration.races.concurrency import BackgroundCall
from usage import projects

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("first", ["create", "rename"])
@pytest.mark.parametrize("second", ["create", "rename"])
def test_of_two_projects_that_take_a_name_at_once_the_second_is_refused(
    alice: User, account_of: Callable[[User], Account], first: str, second: str
) -> None:
    account = account_of(alice)
    now = timezone.now()

    def create(name: str) -> Project:
        return projects.create(account_id=account.pk, name=name, daily_limit=None, now=now)

    def take_name(how: str, project: Project) -> Project:
        if how == "create":
            return create("web")
        return projects.change(account_id=account.pk, project_id=project.pk, name="web", now=now)

    one, other = create("one"), create("other")
    with transaction.atomic():
        take_name(first, one)
        later = BackgroundCall(lambda: take_name(second, other))
        later.start()
        assert later.is_blocked()

    assert isinstance(later.outcome(), projects.NameTaken)
    assert Project.objects.filter(account=account, name="web").count() == 1
