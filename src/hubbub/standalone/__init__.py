"""The standalone server: a configuration, and what is served by it.

`options.py` has every key, `kinds.py` what values are. `sources.py` reads a file, and `configuration.py` judges it
together with variables and the command line; `ignored.py` knows what of Centrifugo's is not here, and `brokers.py`
makes a URL of its engines. `building.py` makes sessions of all that, `keyset.py` fetches their keys. `serving.py` puts
them at their paths, beside the HTTP API, the page of `page.py`, and the metrics of all workers (`siblings.py`).
"""

from hubbub.extras import brought_by

with brought_by("standalone", "the standalone server"):
    from hubbub.standalone.building import Parts, is_loopback, notes, parts, realtime
    from hubbub.standalone.configuration import Configuration, Mistake, configuration
    from hubbub.standalone.options import DEV
    from hubbub.standalone.page import client_file
    from hubbub.standalone.serving import Plan, application, uvicorn_settings

__all__ = [
    "DEV",
    "Configuration",
    "Mistake",
    "Parts",
    "Plan",
    "application",
    "client_file",
    "configuration",
    "is_loopback",
    "notes",
    "parts",
    "realtime",
    "uvicorn_settings",
]
