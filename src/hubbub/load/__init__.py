"""A load generator for WebSocket servers with rooms: `hubbub load`.

`run.py` starts processes, each of which does its share (`worker.py`) with many clients (`client.py`, `dial.py`) and
hears from its parent when to begin and what all have sent (`link.py`, `tally.py`). What they decide by is pure:
`plan.py` who is in which room and when what is sent, `rooms.py` whose turn it is, `marker.py` what is in a payload,
`scanner.py` and `upgrade.py` the protocol as a client sees it, `ledger.py` losses and order, `histogram.py` latency,
`report.py` what it comes to. Of hubbub it uses `wire` alone, for it is to measure any server.
"""

from hubbub.extras import brought_by

with brought_by("serve", "the load generator"):
    from hubbub.load.histogram import Histogram
    from hubbub.load.plan import Plan, Target
    from hubbub.load.report import Latency, Report
    from hubbub.load.run import View, run

__all__ = ["Histogram", "Latency", "Plan", "Report", "Target", "View", "run"]
