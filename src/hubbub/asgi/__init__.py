"""hubbub inside the web framework that people already have.

`WebSocketProtocol` (`protocol.py`) is a WebSocket implementation for uvicorn: `uvicorn app:app --ws
hubbub.asgi:WebSocketProtocol`. `socket` (`socket.py`) gives the Socket behind an endpoint's connection, to put it
into channels; on any other ASGI server it makes one over the application's `send` (`sender.py`).
"""

from hubbub.asgi.protocol import WebSocketProtocol
from hubbub.asgi.socket import socket

__all__ = ["WebSocketProtocol", "socket"]
