"""External ids: the ids that the AI product gives to accounts.

Invariant: an external id that is set from now on can be confused neither with an id of ours, which names an
account in the same field, nor with two parts of a path.
"""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

_OUR_ID = re.compile(r"[a-z]+_[0-9a-f]{32}")


def validate(external_id: str) -> None:
    """Raises ValidationError for the form of a public id, a slash, "." and ".."."""
    if _OUR_ID.fullmatch(external_id):
        raise ValidationError(_("An external id cannot have the form of an id of this API."), code="own_id")
    if external_id in {".", ".."}:  # clients remove these parts from a path
        raise ValidationError(_("An external id cannot be “.” or “..”."), code="dots")
    if "/" in external_id:
        raise ValidationError(_("An external id cannot contain a slash."), code="slash")
