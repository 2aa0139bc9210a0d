"""How many typical evaluations a second one core does: `python3 bench/expressions.py [seconds per expression]`."""

from __future__ import annotations

import sys
import time

from kyanite.expressions import Scope, evaluate_text
from kyanite.expressions.evaluate import _compile

SCOPE = Scope(
    parameters={"container": "raw", "folder": "in/2018", "tables": [{"schema": "dbo", "name": "T1"}], "flag": True},
    variables={"list": ["a", "b", "c"], "batch": "myaccount", "key": "not-a-key"},
    activities={"Copy": {"Status": "Succeeded", "output": {"rowsCopied": 100, "copyDuration": 7}}},
    pipeline={"RunId": "11111111-2222-3333-4444-555555555555", "TriggerTime": "2018-03-05T01:02:03.0000000Z"},
    item={"name": "orders_2018-03-05.csv"},
)
TYPICAL = (
    "@pipeline().parameters.container",
    "@variables('batch')",
    "@item().name",
    "@activity('Copy').output.rowsCopied",
    "@concat('cmd /c \"python split.py ', variables('batch'), ' ', variables('key'), ' 100\"')",
    "@{pipeline().parameters.container}/@{pipeline().parameters.folder}/@{item().name}",
    "@if(equals(pipeline().parameters.flag, true), concat('v', string(3)), '')",
    "@greater(activity('Copy').output.rowsCopied, 10)",
    "@concat(pipeline().parameters.tables[0].schema, '.', pipeline().parameters.tables[0].name)",
    "@last(split(item().name, '.'))",
    "@and(contains(variables('list'), 'b'), not(empty(item().name)))",
    "@formatDateTime(addDays(pipeline().TriggerTime, -1), 'yyyy/MM/dd')",
)


def rate(seconds: float, text: str) -> float:
    """Evaluations a second of one expression, parsed once."""
    evaluate_text(text, SCOPE)
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        for _ in range(100):
            evaluate_text(text, SCOPE)
        done += 100
    return done / passed


def parse_rate(seconds: float) -> float:
    """Parsed and compiled expressions a second, nothing cached."""
    from kyanite.expressions.syntax import _parse_cached

    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        for text in TYPICAL:
            _parse_cached.cache_clear()
            _compile(text)
        done += len(TYPICAL)
    return done / passed


def main(seconds: float) -> None:
    rates = {text: rate(seconds, text) for text in TYPICAL}
    for text, number in rates.items():
        print(f"{number:>12,.0f} /s  {text}")
    mean = len(rates) / sum(1 / number for number in rates.values())
    print(f"{mean:>12,.0f} /s  all of them in turn")
    print(f"{parse_rate(seconds):>12,.0f} /s  parsed for the first time")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.2)
