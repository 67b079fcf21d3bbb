"""What the CPUs do meanwhile: of a busy machine that tells more than its clock on the wall."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def spent(bench: Any) -> float:
    """The seconds that this process and its session of PostgreSQL have computed (Linux)."""
    from django.db import connection

    return time.process_time() + _of_process(connection.connection.info.backend_pid)


def spent_by_valkey(bench: Any) -> float:
    """The same of the Valkey that all share, in its main thread and others."""
    from django.core.cache import cache

    said = cache.client.get_client(write=True).info("cpu")
    return float(said["used_cpu_user"]) + float(said["used_cpu_sys"])


def _of_process(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = words[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
