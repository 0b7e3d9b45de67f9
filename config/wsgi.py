"""The WSGI application (granian serves `config.wsgi:application`)."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections

from config import timeouts

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
timeouts.apply(connections.settings, settings.WEB_DATABASE_TIMEOUTS)
