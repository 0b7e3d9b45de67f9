from django.apps import AppConfig
from django.core.checks import Tags, register

from core import database_roles


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        register(database_roles.check_role, Tags.database, deploy=True)
