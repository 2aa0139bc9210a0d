"""The test kit: pipelines in pytest with mocked activities, a movable clock, real expressions and real control flow.

`python -m kyanite.testing` runs conformance files; `kyanite.testing.plugin` is the pytest plugin.
"""

from kyanite.testing.evaluating import evaluate
from kyanite.testing.factory import FactoryUnderTest, load_factory
from kyanite.testing.history import ActivityRun, Iteration
from kyanite.testing.outcomes import Call, Outcome, failed, hangs, per_call, succeeded
from kyanite.testing.pipeline_run import PipelineRun

__all__ = [
    "ActivityRun",
    "Call",
    "FactoryUnderTest",
    "Iteration",
    "Outcome",
    "PipelineRun",
    "evaluate",
    "failed",
    "hangs",
    "load_factory",
    "per_call",
    "succeeded",
]
