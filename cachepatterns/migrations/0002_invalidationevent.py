"""The outbox, and on PostgreSQL the trigger by which an insert wakes the relays."""

import django.db.models.functions.datetime
from django.db import migrations, models

NOTIFY = """
CREATE FUNCTION cachepatterns_wake_relays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('cachepatterns', '');
    RETURN NULL;
END
$$;
-- Only where no process will bump by itself: a transaction that notifies commits under a lock
-- of the whole server's, which Django's own writes need not wait for.
CREATE TRIGGER cachepatterns_wake_relays
    AFTER INSERT ON cachepatterns_invalidationevent
    FOR EACH ROW WHEN (NEW.token = '') EXECUTE FUNCTION cachepatterns_wake_relays();
"""
NO_NOTIFY = """
DROP TRIGGER IF EXISTS cachepatterns_wake_relays ON cachepatterns_invalidationevent;
DROP FUNCTION IF EXISTS cachepatterns_wake_relays();
"""


def on_postgresql(sql):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(sql, params=None)

    return run


class Migration(migrations.Migration):
    dependencies = [("cachepatterns", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="InvalidationEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("token", models.CharField(blank=True, db_default="", max_length=32)),
                ("source", models.CharField(blank=True, db_default="", max_length=100)),
                ("payload", models.JSONField()),
                ("delivered_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "verbose_name": "invalidation event",
                "verbose_name_plural": "invalidation events",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["delivered_at", "id"], name="cachepatterns_outbox")
                ],
            },
        ),
        migrations.RunPython(
            on_postgresql(NOTIFY),
            on_postgresql(NO_NOTIFY),
            hints={"model_name": "invalidationevent"},
        ),
    ]
