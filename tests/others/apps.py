from django.apps import AppConfig


class OthersConfig(AppConfig):
    name = "tests.others"
    label = "others"
    default_auto_field = "django.db.models.BigAutoField"
