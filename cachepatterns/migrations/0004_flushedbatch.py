"""The batches of increments and events that are written: each is written once."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cachepatterns", "0003_invalidationevent_error")]

    operations = [
        migrations.CreateModel(
            name="FlushedBatch",
            fields=[
                ("batch", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("label", models.CharField(max_length=200)),
                ("rows", models.PositiveIntegerField(default=0)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "verbose_name": "flushed batch",
                "verbose_name_plural": "flushed batches",
                "default_permissions": (),
                "indexes": [models.Index(fields=["created_at"], name="cachepatterns_flushed")],
            },
        ),
    ]
