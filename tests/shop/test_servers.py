"""Embedded servers: no end of ours, however sudden, leaves one behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from shop.home import BASE_DIR
from shop.servers import EmbeddedPostgres, EmbeddedValkey

SECONDS = 30


def processes_of(folder: Path) -> list[psutil.Process]:
    """Everything alive whose command line names the folder, but who runs the test."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in w for w in words):
            found.append(process)
    return found


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.02)


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A demo on servers of its own in `folder`."""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    env |= {"DJANGO_SETTINGS_MODULE": "shop.settings", "SHOP_HOME": str(folder)}
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo", *arguments],
        cwd=BASE_DIR,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_both_start_answer_keep_their_data_and_stop(tmp_path):
    for turn in range(2):
        with (
            EmbeddedPostgres(tmp_path, durable=False) as postgres,
            psycopg.connect(postgres.url, autocommit=True) as connection,
        ):
            assert connection.info.server_version // 10000 == 18
            connection.execute("CREATE TABLE IF NOT EXISTS kept (turn int)")
            connection.execute("INSERT INTO kept VALUES (%s)", [turn])
            rows = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert rows == (turn + 1,)
    with EmbeddedValkey(tmp_path) as valkey, redis.Redis.from_url(valkey.url) as client:
        assert client.info("server")["server_name"] == "valkey"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "volatile-lru"
    assert processes_of(tmp_path) == []


def test_an_error_in_the_block_stops_them_too(tmp_path):
    with pytest.raises(ZeroDivisionError), EmbeddedValkey(tmp_path):
        _ = 1 / 0
    assert processes_of(tmp_path) == []


def test_a_server_left_by_a_killed_start_is_replaced(tmp_path):
    left = EmbeddedValkey(tmp_path)
    left.start()
    # Only its reaping: our child would else stay a zombie, which is no process that serves.
    threading.Thread(target=left._process.wait).start()
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.pid != left.pid
        wait_until(lambda: left._process.poll() is not None, "the end of the old server")
        assert [process.pid for process in processes_of(tmp_path)] == [valkey.pid]


# From before the first server to well into the filling of the shop.
@pytest.mark.parametrize(
    "line", ["", "Starting PostgreSQL", "Starting Valkey", "Migrating", "10 %"]
)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_start_interrupted_at_any_moment_leaves_no_process(tmp_path, line, how):
    process = demo(tmp_path)
    said = ""
    while line not in said:
        said = process.stdout.readline()
        assert said, "it ended before it came that far"
    process.send_signal(how)
    process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert processes_of(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to their parent")
def test_even_a_killed_demo_takes_everything_with_it(tmp_path):
    process = demo(tmp_path)
    while "10 %" not in (said := process.stdout.readline()):
        assert said, "it ended before it came that far"
    assert len(processes_of(tmp_path)) >= 2
    process.kill()
    process.wait()
    wait_until(lambda: processes_of(tmp_path) == [], "the end of all its children")
    process.stdout.close()


@pytest.mark.slow
def test_a_demo_serves_refuses_a_second_one_and_stops_on_ctrl_c(tmp_path):
    process = demo(tmp_path, "--port", "18000", "--workers", "1")
    said = []
    while "Ctrl-C" not in (line := process.stdout.readline()):
        assert line, "".join(said)
        said.append(line)
    assert any("/admin/" in line and "staff / staff" in line for line in said)
    second = demo(tmp_path)
    out, _ = second.communicate(timeout=SECONDS)
    assert (second.returncode, "already running" in out) == (1, True)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, out
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "servers.json").exists()
