"""The cast and the stage: alice owns, bob is on her team, charlie must see nothing, staff run the house."""

import pytest

from accounts.models import Account, Membership, User

PASSWORD = "correct horse battery staple"


def person(name: str, **fields: object) -> User:
    return User.objects.create_user(f"{name}@example.org", PASSWORD, first_name=name.title(), **fields)


@pytest.fixture
def alice(db: None) -> User:
    return person("alice")


@pytest.fixture
def bob(db: None) -> User:
    return person("bob")


@pytest.fixture
def charlie(db: None) -> User:
    return person("charlie")


@pytest.fixture
def staff(db: None) -> User:
    return person("staff", is_staff=True, is_superuser=True)
