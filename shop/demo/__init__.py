"""`manage.py demo`: servers, data and web workers, started and stopped together.

The command itself never touches the database. Its process only supervises: Django has read its
settings before the servers exist, so everything that needs the database runs as a child, which
is given the servers' addresses in its environment and reads its settings anew.
"""
