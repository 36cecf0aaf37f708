"""Real-time sessions: clients of the Centrifuge protocol, and who may do what in which channel.

`protocol/` is what clients and servers say to each other, free of I/O, and `conversation.py` what may be asked when.
`namespaces.py` says what channels are, `permissions.py` who may do what in them, `filters.py` which publications they
get, and `tokens.py` what tokens say (`keys.py`: who has signed them; `claims.py`: what is in them). `publications.py`
makes of a publication what subscribers get, with patches by `fossil.py`.
"""

from hubbub.brokers import History
from hubbub.realtime.namespaces import Names, Namespace
from hubbub.realtime.protocol import Disconnect, Error
from hubbub.realtime.tokens import Tokens

__all__ = ["Disconnect", "Error", "History", "Names", "Namespace", "Tokens"]
