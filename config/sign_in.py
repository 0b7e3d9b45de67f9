"""The adapters of sign-in (settings ACCOUNT_ADAPTER, MFA_ADAPTER): those of accounts, with the brand.

The brand comes from the catalogue, and accounts does not import pricing; hence the subclasses.
"""

from typing import Any

from django.core.mail import EmailMessage

from accounts import adapter
from pricing import html_mail
from pricing.catalogue import cache as catalogue_cache


class AccountAdapter(adapter.AccountAdapter):
    def render_mail(self, *args: Any, **kwargs: Any) -> EmailMessage:
        """The e-mail with an HTML version of its text."""
        return html_mail.with_html(super().render_mail(*args, **kwargs))


class SecondFactorAdapter(adapter.SecondFactorAdapter):
    def get_totp_issuer(self) -> str:
        """The name that authenticator apps show beside the code."""
        return catalogue_cache.brand_name()
