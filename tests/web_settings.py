"""Settings of a web server started by a test: the product's settings with the clock of the test."""

from tests import clock

clock.follow()

from config.settings import *  # noqa: E402, F403

# As in tests.settings: static files come from their source directories.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
