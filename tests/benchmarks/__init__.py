"""Benchmarks: every case in every contender, interleaved, checked, as ratios of one run.

    make bench                  everything, about a quarter of an hour
    make bench ARGS=--quick     the same, less often, in a minute

Each contender has a process, a logical Redis database and settings of its own, and reads the
same rows of one PostgreSQL. Only one of them works at any moment; in each round every contender
has its turn, so that whatever slows the machine slows them all. A block of timed calls counts
only if the number of statements that reached the database is the one the case demands (none,
for a hit), and what a contender answers within it is compared with what Django answers without a
cache: see `rounds.measure`.
"""
