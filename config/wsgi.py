"""The WSGI application: Django, which the front runs in threads (config.front)."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections

from config import timeouts
from core import database_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
timeouts.apply(connections.settings, settings.WEB_DATABASE_TIMEOUTS)
database_server.refuse_unfit()
