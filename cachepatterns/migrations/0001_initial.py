"""Permissions only: the model is unmanaged and has no table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CacheDashboard",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
            ],
            options={
                "verbose_name": "cache overview",
                "verbose_name_plural": "cache overview",
                "permissions": [
                    ("view_cachedashboard", "Can see what the cache does"),
                    ("view_values", "Can see cached values"),
                    ("purge_cache", "Can purge objects and models from the cache"),
                    ("purge_all", "Can purge the whole cache"),
                ],
                "managed": False,
                "default_permissions": (),
            },
        ),
    ]
