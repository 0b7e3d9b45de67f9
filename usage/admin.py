"""Admin classes of usage. Django's autodiscovery imports this module; the classes are in usage.staff."""

from usage.staff import price_simulation, reports

__all__ = ["price_simulation", "reports"]
