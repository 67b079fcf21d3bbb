"""Settings of the demo's web workers."""

import os

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker
from prometheus_client import multiprocess

worker_class = "gthread"
threads = int(os.environ.get("SHOP_THREADS", "4"))
loglevel = "warning"
graceful_timeout = 3
preload_app = False
# Nobody steers these workers but their parent.
control_socket_disable = True


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Keep the counters of a worker that ended, drop its gauges."""
    multiprocess.mark_process_dead(worker.pid)
