"""The chat of `make demo`: `app.py` is the server, `static/` the page. An example that nothing else depends on."""

from hubbub.extras import brought_by

with brought_by("serve", "the demo"):
    from hubbub.demo.app import app, hub, serve

__all__ = ["app", "hub", "serve"]
