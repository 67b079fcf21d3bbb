"""What visitors were looking for."""

from django.db import models


class SearchEvent(models.Model):
    """One search. Only ever added: by `record_event`, which inserts them in batches."""

    words = models.CharField(max_length=80)
    results = models.PositiveIntegerField()
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-at", "-pk")

    def __str__(self) -> str:
        return f"{self.words}: {self.results}"
