"""Notes of staff about an account. Members never see them; they are erased with the account."""

from django.conf import settings
from django.db import models

from core.models import Identified


class StaffNote(Identified):
    """What a member of staff noted about an account."""

    PREFIX = "note"

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="staff_notes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.CharField(max_length=2000)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["account", "created_at"], name="staff_note_account")]

    def __str__(self) -> str:
        return self.text[:80]
