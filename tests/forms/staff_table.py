"""The forms of staff in the admin: the permission each needs, and every field with its values.

`FORMS` has one `StaffForm` for each form. What staff do to selected rows without a form is in
test_staff_actions.py.
"""

from tests.forms import staff_accounts, staff_billing, staff_promotions, staff_rates

FORMS = [*staff_accounts.FORMS, *staff_billing.FORMS, *staff_promotions.FORMS, *staff_rates.FORMS]
