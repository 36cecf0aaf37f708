"""The chat of `make demo`. `chat.py` is what to read first; `app.py` serves it, and `static/` is the page.

An example that nothing else depends on.
"""

from hubbub.extras import brought_by

with brought_by("serve", "the demo"):
    from hubbub.demo.app import app, serve
    from hubbub.demo.chat import rt

__all__ = ["app", "rt", "serve"]
