"""Messages of Django that pages show, with Chinese texts of our own.

Django addresses the reader as 你, our pages as 您. Settings.LOCALE_PATHS comes before Django's own catalogues
(https://docs.djangoproject.com/en/5.2/topics/i18n/translation/#how-django-discovers-translations).
"""

from django.utils.translation import gettext_noop, ngettext_lazy

HELP_OF_PASSWORDS = (
    gettext_noop("Your password can’t be too similar to your other personal information."),
    gettext_noop("Your password can’t be a commonly used password."),
    ngettext_lazy(
        "Your password must contain at least %(min_length)d character.",
        "Your password must contain at least %(min_length)d characters.",
        "min_length",
    ),
)
