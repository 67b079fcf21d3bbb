"""Everything cachepatterns raises. Each docstring is what the user is told to do."""


class CachePatternsError(Exception):
    """The root of all errors raised by cachepatterns."""


class ConfigurationError(CachePatternsError):
    """A setting or policy is wrong; the message names it. Run ``manage.py check``."""


class BackendError(CachePatternsError):
    """Redis/Valkey did not answer a command; the database is asked instead.

    Never reaches a page: readers catch it, count it and load from the database.
    """


class WriteRefused(CachePatternsError):
    """Redis can not be reached, so readers can not be kept from the old value; the write is
    rolled back. Try again, or set ``ON_REDIS_ERROR = "database"`` to let writes proceed.
    """


class OutboxMissing(CachePatternsError):
    """The outbox is on, but its table is missing: run ``manage.py migrate`` for every database
    that is cached, or set ``CACHEPATTERNS["OUTBOX"] = False``. The write is rolled back.
    """


class UnstorableValue(CachePatternsError):
    """A result holds a value that would not come back from the cache as it went in.

    Counted as ``unstorable``; the result is served from the database every time.
    """


class CorruptEntry(CachePatternsError):
    """A cached entry could not be decoded; it is treated as a miss and counted."""


class NoIdentity(CachePatternsError, TypeError):
    """An argument of a cached function has nothing that tells it from others, in every process:
    pass what it is known by, or give a ``key=``.
    """


class UncacheableResult(CachePatternsError, TypeError):
    """A cached function returned what would not come back from the cache as it is: return
    something else, or declare the return type.
    """


class BackedOff(CachePatternsError):
    """The service that a cached function asks has said that it wants to be left alone, and there
    is no earlier answer to give. Try again after ``retry_after`` seconds.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WithheldVariable(CachePatternsError):
    """A cached block uses what is not the same for all who will be shown it: have it vary on that,
    or move it out of the block.
    """
