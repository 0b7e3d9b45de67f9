"""What accounts, which stands beside the catalogue and does not know it, is told about the product.

Named by the settings BRAND_NAME and PROVIDERS; accounts calls them by those names only.
"""

from pricing.catalogue import cache as catalogue_cache


def brand_name() -> str:
    """The product's name, as the catalogue says it."""
    told = catalogue_cache.current().brand
    return told.name if told else "Refill"


def providers() -> list[tuple[str, str]]:
    """Key and name of the providers whose keys an account may bring along; perhaps none."""
    return [(provider.key, provider.name) for provider in catalogue_cache.current().policies.providers]
