"""The forms of the portal: every field with the values that are sent and what is stored, shown or refused.

`PAGES` has one `Page` for each form that is posted. A field of a form without rows fails the suite, and so
does a form of the product in no table (tests/forms/test_complete.py).
"""

from tests.forms import account_pages, billing_pages

PAGES = [*account_pages.PAGES, *billing_pages.PAGES]
