from django.apps import AppConfig
from django.db.models.signals import post_migrate

from tests.ids import begin_high


class TestAppConfig(AppConfig):
    name = "tests.app"
    label = "app"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(begin_high, sender=self)
