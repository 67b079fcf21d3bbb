"""Faults on real processes and real servers, while an oracle looks on. See `run`."""
