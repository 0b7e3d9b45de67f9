"""The second-factor adapter (setting MFA_ADAPTER): that of accounts, with the product's name.

It is here because the name is the catalogue's, and accounts does not import pricing.
"""

from accounts import adapter
from pricing.catalogue import cache as catalogue_cache


class SecondFactorAdapter(adapter.SecondFactorAdapter):
    def get_totp_issuer(self) -> str:
        """The name that authenticator apps show beside the code."""
        return catalogue_cache.brand_name()
