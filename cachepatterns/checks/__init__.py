"""System checks: what is wrong with settings and policies, each with an id and a hint.

Importing has no side effects; `apps.py` calls `connect`.
"""

from __future__ import annotations

from django.core import checks

from cachepatterns.checks.alias import check_alias, check_prefix
from cachepatterns.checks.behind import check_behind
from cachepatterns.checks.durability import check_eventual, check_redis_error
from cachepatterns.checks.live import check_server, check_transaction_timeout
from cachepatterns.checks.monitoring import (
    check_hit_rates,
    check_prometheus,
    check_prometheus_processes,
)
from cachepatterns.checks.policies import check_policies
from cachepatterns.checks.refreshing import check_refreshing
from cachepatterns.checks.replicas import check_replicas, check_undeclared_replicas
from cachepatterns.checks.settings import check_settings

TAG = "cachepatterns"


def connect() -> None:
    """Have ``manage.py check`` run ours; asking twice changes nothing."""
    for check in (
        check_settings,
        check_alias,
        check_policies,
        check_refreshing,
        check_replicas,
        check_eventual,
        check_prometheus,
        check_behind,
    ):
        checks.register(check, TAG)
    for check in (
        check_redis_error,
        check_server,
        check_transaction_timeout,
        check_undeclared_replicas,
        check_prefix,
        check_prometheus_processes,
        check_hit_rates,
    ):
        checks.register(check, TAG, deploy=True)
