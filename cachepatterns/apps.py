"""The composition root: here, and only here, the parts are put together."""

from __future__ import annotations

import sys
from importlib import import_module

from django.apps import AppConfig
from django.core.signals import request_started
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import class_prepared, post_migrate, pre_migrate
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class CachePatternsConfig(AppConfig):
    """``INSTALLED_APPS = [..., "cachepatterns"]``."""

    name = "cachepatterns"
    verbose_name = _("Cache")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cachepatterns import (
            adoption,
            checks,
            observe,
            receivers,
            sampling,
            sqlwatch,
            triggers,
        )
        from cachepatterns.contrib import opentelemetry, prometheus
        from cachepatterns.registry import site
        from cachepatterns.stats.recorder import recorder
        from cachepatterns.write import ahead, dispatch, embedded, outbox
        from cachepatterns.writing_through import write_through

        checks.connect()
        observe.subscribe(recorder)
        prometheus.connect()
        opentelemetry.connect()
        sampling.begin(recorder.hot.take)
        for watcher in (sqlwatch, ahead):
            connection_created.connect(watcher.install, dispatch_uid=watcher.__name__)
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                sqlwatch.install(connection=connection)
                ahead.install(connection=connection)
        request_started.connect(
            embedded.ensure_running, dispatch_uid="cachepatterns.embedded_relay"
        )
        dispatch.after_delivery(write_through)
        pre_migrate.connect(outbox.expect_migration, sender=self)
        post_migrate.connect(triggers.keep_up, sender=self)
        autodiscover_modules("caching")
        _register_sessions()
        receivers.connect()
        adoption.adopt_all()
        site.on_change(adoption.adopt_all)
        class_prepared.connect(adoption.adopt_new, dispatch_uid="cachepatterns.adoption")


def _register_sessions() -> None:
    """The engine imports Django's own, which is nothing for projects that use another one."""
    from django.conf import settings

    try:
        import_module(settings.SESSION_ENGINE)
    except Exception:
        return  # Django says so itself, at the first request
    ours = sys.modules.get("cachepatterns.contrib.sessions")
    if ours is not None:
        ours.register_sessions()
