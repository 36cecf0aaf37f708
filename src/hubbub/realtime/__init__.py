"""Real-time sessions: clients of the Centrifuge protocol, and who may do what in which channel."""

from hubbub.realtime.protocol import Disconnect, Error

__all__ = ["Disconnect", "Error"]
