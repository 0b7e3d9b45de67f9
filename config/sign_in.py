"""The second-factor adapter (setting MFA_ADAPTER): that of accounts, with the product's name.

The name comes from the catalogue, and accounts does not import pricing; hence the subclass.
"""

from accounts import adapter
from pricing.catalogue import cache as catalogue_cache


class SecondFactorAdapter(adapter.SecondFactorAdapter):
    def get_totp_issuer(self) -> str:
        """The name that authenticator apps show beside the code."""
        return catalogue_cache.brand_name()
