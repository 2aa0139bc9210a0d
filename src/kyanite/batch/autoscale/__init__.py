"""The autoscale formula language of the Batch service, pure: text in, targets and results out.

`parse_formula` reads and checks, `evaluate` runs a formula on samples it is given; clock and randomness are arguments.
"""

from kyanite.batch.autoscale.evaluate import AutoscaleRun, Current, evaluate
from kyanite.batch.autoscale.metrics import METRICS, Sample, Samples
from kyanite.batch.autoscale.syntax import Formula, FormulaError, parse_formula

__all__ = [
    "METRICS",
    "AutoscaleRun",
    "Current",
    "Formula",
    "FormulaError",
    "Sample",
    "Samples",
    "evaluate",
    "parse_formula",
]
