"""Sessions in the database, read through the cache under the protocol of rows.

::

    SESSION_ENGINE = "cachepatterns.contrib.sessions"

Django's ``cached_db`` writes the database and then the cache, and fills the cache with what it has
read. What must not happen, and does there:

* A reader has loaded a session from the database; its owner logs out, which deletes it in both;
  the reader fills the cache: the session that was ended is served until it expires.
* A logout is committed, and the cache can not be reached: the session is served on.
* A logout is rolled back, or a change of the session is, and the cache has it all the same.

Here a session is a row of the row cache: an entry rests on the stamps that stood before its load,
and whatever writes the row (a save, a logout, `clearsessions`, raw SQL) registers before its
COMMIT and bumps them after it. The cache is that of the models (``CACHEPATTERNS["ALIAS"]``): what
is evicted or purged there is read from the database again, so nobody is logged out by that.

The key of a session lets people in. In tags and keys, and so in the admin and in logs, it stands
as a digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.db import router
from django.utils import timezone
from msgspec.structs import asdict

from cachepatterns.core import outcome
from cachepatterns.core.codec import Row
from cachepatterns.narrowing import NO_VALUE
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.policy import ModelPolicy
from cachepatterns.read.lookup import Question, read
from cachepatterns.read.rowplans import RowPlan, why_no_rows
from cachepatterns.registry import site

PATTERN = "row:pk"


class SessionPolicy(ModelPolicy):
    """Given to the model of the sessions unless the project registers one of its own."""

    tier = "session"
    narrow_by_only = ()
    # Nothing but the engine reads them through the cache: other readers want the rows as they are.
    managers = "declared"


class _UntilItExpires(Question, frozen=True, kw_only=True, gc=False):
    """The question for one session: its answer lives exactly as long as that."""

    seconds_left: Callable[[Sequence[Row]], float]

    def lifetime(self, rows: Sequence[Row]) -> float:
        return max(0.001, self.seconds_left(rows)) if rows else super().lifetime(rows)


class SessionStore(DatabaseSessionStore):
    """Django's database sessions, each of which is read from the cache."""

    def load(self) -> dict[str, Any]:
        found = self._row()
        if found is None or found.expire_date <= timezone.now():
            self._session_key = None
            return {}
        data: dict[str, Any] = self.decode(found.session_data)
        return data

    async def aload(self) -> dict[str, Any]:
        return await sync_to_async(self.load)()

    def _row(self) -> Any:
        """The session's row, or `None` if there is none."""
        key, model = self.session_key, self.model
        using = router.db_for_read(model)
        plan, reason = why_no_rows(model, "session_key", using)
        if plan is not None:
            try:
                rows = read(*_asked(plan, key))
            except NO_VALUE:
                return None
            return plan.instances(rows, model)[0] if rows else None
        emit(ReadEvent(model._meta.label_lower, PATTERN, outcome.BYPASS, reason=reason))
        return model._default_manager.using(using).filter(session_key=key).first()


def _asked(plan: RowPlan, key: Any) -> tuple[Question, Callable[[], list[Row]]]:
    """The question for the session `key`, and how the database answers it."""
    stored, spelled = plan.spell(key)

    def seconds_left(rows: Sequence[Row]) -> float:
        # From its instance: what the raw row holds differs from database to database.
        (session,) = plan.instances(rows, plan.policy.model)
        left: float = (session.expire_date - timezone.now()).total_seconds()
        return left

    told = asdict(plan.question(spelled)) | {"soft": None}  # never stale, whatever the tier allows
    question = _UntilItExpires(**told, seconds_left=seconds_left)
    return question, lambda: plan.load([stored])


def register_sessions() -> None:
    """Have the sessions' model cached, if ``SESSION_ENGINE`` is this engine or a subclass."""
    try:
        engine = import_module(settings.SESSION_ENGINE)
    except ImportError:
        return  # Django says so itself, at the first request
    store = getattr(engine, "SessionStore", None)
    if isinstance(store, type) and issubclass(store, SessionStore):
        model = store.get_model_class()
        if site.policy_for(model) is None:
            site.register(model, SessionPolicy)
