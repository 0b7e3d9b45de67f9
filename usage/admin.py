"""What staff see of usage. The parts stand in modules of their own; Django finds them through here."""

from usage import rehearsal_admin, report_admin

__all__ = ["rehearsal_admin", "report_admin"]
