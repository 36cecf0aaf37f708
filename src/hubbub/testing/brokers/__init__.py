"""The conformance suite of brokers: whoever writes one, or changes one, finds out here whether it keeps its promises.

The promises are those of `hubbub.brokers.contract`. Each check is a short function whose docstring is one of them. To
have a broker judged, say how one is made:

    from hubbub.testing.brokers import CHECKS, Bench

    class MyBench(Bench):
        def broker(self):
            return MyBroker("my://localhost")

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_my_broker(check):
        check.run(MyBench())

or, without pytest, `python -m hubbub.testing.brokers my://localhost`, or `--bench my.tests:MyBench`. What a bench
cannot do, such as cutting a link, is not checked, and said so; each further method of `Bench` enables more checks.
"""

from hubbub.testing.brokers import append, control, guards, history, interest, life, presence, trouble
from hubbub.testing.brokers.bench import Bench, Broken, Lacking, MemoryBench, Node, UrlBench, bench_for
from hubbub.testing.brokers.checks import Check, Outcome, judge

__all__ = [
    "CHECKS",
    "Bench",
    "Broken",
    "Check",
    "Lacking",
    "MemoryBench",
    "Node",
    "Outcome",
    "UrlBench",
    "bench_for",
    "judge",
]

CHECKS: tuple[Check, ...] = tuple(
    check for group in (append, history, guards, interest, presence, control, life, trouble) for check in group.CHECKS
)
