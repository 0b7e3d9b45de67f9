"""A form of staff in the admin and the permission that it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms

from tests.forms.rows import Row
from tests.forms.world import World

TOKEN = "0198a6c0-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class StaffForm:
    form: type[forms.BaseForm]
    needs: str
    """The permission that the action needs, such as "accounts.change_user"."""
    path: Callable[[World], str]
    valid: dict[str, Any]
    stored: Callable[[World], dict[str, Any]]
    rows: dict[str, list[Row]]
    world: Callable[[World], None] = lambda world: None
    accepted: int = 302
    key: str = ""
    also: tuple[str, ...] = ()
    """Further permissions that everybody who is tried has."""

    @property
    def name(self) -> str:
        return self.key or self.form.__name__


def at(pattern: str, of: Callable[[World], Any]) -> Callable[[World], str]:
    return lambda world: pattern.format(pk=of(world).pk)
