"""A progress bar on a terminal; elsewhere a line for every tenth."""

import time
from typing import Self

from django.core.management.base import OutputWrapper

WIDTH = 32


class Progress:
    """Called with rows done and rows in all."""

    def __init__(self, label: str, out: OutputWrapper) -> None:
        self._label = label
        self._out = out
        self._bar = out.isatty()
        self._tenths = -1
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar:
            self._out.write("")

    def __call__(self, done: int, total: int) -> None:
        seconds = time.monotonic() - self._began
        if self._bar:
            filled = WIDTH * done // total
            bar = "█" * filled + "░" * (WIDTH - filled)
            text = f"\r{self._label} {bar} {100 * done // total:3d} % {seconds:4.0f} s"
            self._out.write(text, ending="")
        elif (tenths := 10 * done // total) > self._tenths:
            self._tenths = tenths
            self._out.write(f"{self._label}: {10 * tenths} % after {seconds:.1f} s")
        self._out.flush()
