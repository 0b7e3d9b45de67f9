"""Secrets at rest: which key of the settings encrypts, and which can still decrypt."""

from typing import Any

import pytest

from accounts import encryption


def readable(stored: bytes) -> bool:
    try:
        return encryption.decrypt(stored) == "sk-1"
    except encryption.Unreadable:
        return False


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        # (SECRET_KEY, SECRET_KEY_FALLBACKS, ENCRYPTION_KEYS) when it is stored and when it is read
        (("a", [], []), ("a", [], []), True),
        (("a", [], []), ("b", [], []), False),
        (("a", [], []), ("b", ["a"], []), True),
        (("a", [], []), ("b", ["c", "a"], []), True),
        (("b", ["a"], []), ("b", [], []), True),  # the newest key encrypts
        (("b", ["a"], []), ("a", [], []), False),
        (("a", [], ["x"]), ("b", [], ["x"]), True),
        (("a", [], ["x"]), ("a", [], []), False),
        (("a", [], []), ("a", [], ["x"]), True),  # nobody is locked out when keys of their own are added
        (("a", [], []), ("b", ["a"], ["x"]), True),
        (("a", [], []), ("b", [], ["x"]), False),
        (("a", [], []), ("a", [], ["x", "a"]), True),
        (("a", [], ["x"]), ("a", [], ["y", "x"]), True),
        (("a", [], ["y", "x"]), ("a", [], ["y"]), True),
        (("a", [], ["y", "x"]), ("a", [], ["x"]), False),
    ],
)
def test_what_is_stored_can_be_read_while_its_key_is_listed(
    settings: Any, before: tuple[Any, ...], after: tuple[Any, ...], kept: bool
) -> None:
    def use(keys: tuple[Any, ...]) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS, settings.ENCRYPTION_KEYS = keys

    use(before)
    stored = encryption.encrypt("sk-1")
    assert b"sk-1" not in stored and stored != encryption.encrypt("sk-1")
    assert encryption.decrypt(memoryview(stored)) == "sk-1"
    use(after)
    assert readable(stored) == kept
