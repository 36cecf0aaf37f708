"""The broker on Redis 7 and Valkey, alone, behind sentinels, or as a cluster.

What happens inside the server is in `library.lua`, which is also the way in for programs in other languages.
`broker.py` is what a node calls; `records.py` says how publications are written there and on the way, `roll.py` keeps
who is present. Below them `servers.py` finds the servers and loads the library, `link.py` is one connection, and
`address.py` the URL. hiredis reads the protocol.
"""

from hubbub.brokers.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
