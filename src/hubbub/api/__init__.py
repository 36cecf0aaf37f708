"""The HTTP API: what programs in any language ask of real-time sessions, with the methods that Centrifugo has.

`endpoint.py` is the ASGI application: who asks (`keys.py`), and how much. `messages.py` is what is asked and answered,
and `methods.py` does it. `counts.py` and `metrics.py` are what Prometheus is told, and `application.py` puts all of it
at its paths.
"""

from hubbub.extras import brought_by

with brought_by("standalone", "hubbub.api"):
    from hubbub.api.application import api_app
    from hubbub.api.endpoint import Api

__all__ = ["Api", "api_app"]
