"""The loaded catalogue, services and rates, plans, packs and sales."""

from pricing.models.catalogue import Catalogue
from pricing.models.offers import Pack, Plan, Sale
from pricing.models.services import Rate, RateCard, Service

__all__ = ["Catalogue", "Pack", "Plan", "Rate", "RateCard", "Sale", "Service"]
