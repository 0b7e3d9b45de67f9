"""The admin in a browser: what scripts add to its forms has names for screen readers."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from accounts.models import User


def test_search_fields_of_a_form_have_the_names_of_their_labels(
    staff: User, sign_in: Callable[[User], Page]
) -> None:
    page = sign_in(staff)
    page.goto("/admin/accounts/membership/add/")
    for name in ("Account", "User"):
        expect(page.get_by_role("textbox", name=name, include_hidden=True).first).to_have_class(
            "select2-selection__rendered"
        )
