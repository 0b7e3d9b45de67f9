"""A form of the portal and the page that has it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms

from tests.forms.rows import Row
from tests.forms.world import World


@dataclass(frozen=True)
class Page:
    """A form with the page that shows it and takes it."""

    form: type[forms.BaseForm]
    path: str
    valid: dict[str, Any]
    stored: Callable[[World], dict[str, Any]]
    rows: dict[str, list[Row]]
    world: Callable[[World], None] = lambda world: None
    """What the page needs before the form is sent."""
    roles: tuple[str, ...] = ("owner", "billing")
    context: str = "form"
    target: str = ""
    """Where the form is sent, when it is not the page itself."""
    accepted: int = 302
    key: str = ""
    """A second form of one class has a name of its own."""
    shows_again: bool = True
    one_use: bool = False
    """Whether the form can be accepted once, so that each row starts anew."""
    hidden: tuple[str, ...] = ()
    """Fields that nobody enters, so that the page has no place for their errors."""

    @property
    def name(self) -> str:
        return self.key or self.form.__name__
