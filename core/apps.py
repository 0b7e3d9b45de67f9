from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.backends.signals import connection_created

from core import database_roles, database_server


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        connection_created.connect(database_server.check, dispatch_uid="core.database_server")
        register(database_roles.check_role, Tags.database, deploy=True)
