"""Foreign keys of the busy tables (docs/decisions/0006)."""

from typing import Any

from django.db import models


def loose_key(to: type[models.Model], **options: Any) -> Any:
    """A foreign key the database does not check and does not index (see the module's docstring)."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", **options
    )
