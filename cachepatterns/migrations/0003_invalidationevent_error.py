"""Events that no relay understood say why, and stay."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cachepatterns", "0002_invalidationevent")]

    operations = [
        migrations.AddField(
            model_name="invalidationevent",
            name="error",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=300),
        ),
    ]
