"""Imports the admin classes of usage.staff, because Django's autodiscovery imports this module."""

from usage.staff import price_simulation, reports

__all__ = ["price_simulation", "reports"]
