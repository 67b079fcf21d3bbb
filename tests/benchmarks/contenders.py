"""Who takes part, and what each needs in its settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Contender:
    """`questions` is the class that asks (dotted), `package` what must be installed."""

    name: str
    apps: tuple[str, ...] = ()
    manager: str = "django.db.models.Manager"
    questions: str = "tests.benchmarks.questions.Questions"
    package: str = ""
    caches: bool = True


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(name="uncached", caches=False),
        Contender(name="floor", questions="tests.benchmarks.floor.Floor"),
        Contender(
            name="cachepatterns",
            apps=("cachepatterns",),
            manager="cachepatterns.CachedManager",
        ),
        Contender(name="cache-aside", questions="tests.benchmarks.aside.CacheAside"),
        Contender(name="cacheops", apps=("cacheops",), package="django-cacheops"),
        Contender(name="cachalot", apps=("cachalot",), package="django-cachalot"),
    )
}
