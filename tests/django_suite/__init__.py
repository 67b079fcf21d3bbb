"""Django's own ORM tests, with every manager of every model cached.

    python -m tests.django_suite                       all modules of `modules.ALL`, two processes
    python -m tests.django_suite --quick               those of `modules.QUICK`, as CI runs them
    python -m tests.django_suite lookup queries        these
    python -m tests.django_suite --database sqlite     on SQLite instead of PostgreSQL
    python -m tests.django_suite --honest lookup       without the bending described below

`source` has pip fetch Django's source distribution, of the version that is installed, which
brings its tests. They are run twice on an embedded PostgreSQL and Valkey: as they are, and with
cachepatterns installed and ``"*": {"managers": "all"}``. Whatever fails only the second time must
stand in `expected`, with the reason why it can not hold by nature; anything else is a bug of ours.

Nearly all of these tests run inside one transaction that has written, in which the product reads
nothing through the cache. `shadow` bends that for the time of the run: every statement counts as
committed when it has run, every rollback makes a new cache. And it checks each hit: the statement
is run all the same, so that `assertNumQueries` counts what it counted, and what the cache said
must be what the database says.
"""
