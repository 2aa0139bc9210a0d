from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch.exit_conditions import ExitOptions, check_exit_conditions, options_of
from kyanite.batch.model import TASK_ENDED, Exited, FailureInfo, Task, TaskSpec, after_attempt, assigned
from kyanite.errors import BatchError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STOP = {"jobAction": "disable", "dependencyAction": "satisfy"}


def ended(conditions, code=0, failure=None):
    spec = TaskSpec("t", "true", document={"exitConditions": conditions})
    task = assigned(Task("a", "j", "t", "p", spec, NOW), "n", NOW)
    return after_attempt(task, Exited(code, NOW, NOW, failure and FailureInfo("UserError", failure, "no")), NOW)


def test_the_defaults():
    assert options_of(ended({})) == ExitOptions("none", True)
    assert options_of(ended({}, 1)) == ExitOptions("terminate", False)
    assert options_of(ended({}, None, "BlobNotFound")) == ExitOptions("terminate", False)


@pytest.mark.parametrize(
    ("conditions", "code", "failure", "satisfies"),
    [
        ({"exitCodes": [{"code": 1, "exitOptions": STOP}]}, 1, None, True),
        ({"exitCodes": [{"code": "1", "exitOptions": STOP}]}, 1, None, True),
        ({"exitCodes": [{"code": 1, "exitOptions": STOP}]}, 2, None, False),
        ({"exitCodeRanges": [{"start": 2, "end": 4, "exitOptions": STOP}]}, 4, None, True),
        ({"exitCodeRanges": [{"start": 2, "end": 4, "exitOptions": STOP}]}, 5, None, False),
        ({"exitCodes": [{"code": 3, "exitOptions": {"dependencyAction": "Block"}}],
          "exitCodeRanges": [{"start": 2, "end": 4, "exitOptions": STOP}]}, 3, None, False),
        ({"default": STOP}, 9, None, True),
        ({"default": {"dependencyAction": "block"}}, 0, None, True),
        ({"exitCodes": [{"code": 0, "exitOptions": {"dependencyAction": "block"}}]}, 0, None, False),
        ({"preProcessingError": STOP}, None, "BlobNotFound", True),
        ({"default": STOP}, None, "BlobNotFound", True),
        ({"preProcessingError": STOP}, None, "TaskEnded", False),
        ({"fileUploadError": STOP}, 0, "FileUploadMiscError", True),
        ({"fileUploadError": STOP, "exitCodes": [{"code": 0, "exitOptions": {"dependencyAction": "block"}}]},
         0, "FileUploadMiscError", False),
        ({"fileUploadError": STOP}, 5, "FailureExitCode", False),
        ({"default": STOP}, 0, "FileUploadMiscError", True),
    ],
)  # fmt: skip
def test_which_options_apply(conditions, code, failure, satisfies):
    assert options_of(ended(conditions, code, failure)).satisfies is satisfies


def test_a_missing_job_action_has_its_default():
    options = options_of(ended({"exitCodes": [{"code": 1, "exitOptions": {"dependencyAction": "satisfy"}}]}, 1))
    assert options == ExitOptions("terminate", True)


def test_a_job_action_needs_a_job_that_listens():
    body = {"exitConditions": {"default": {"jobAction": "terminate"}}}
    with pytest.raises(BatchError, match="onTaskFailure"):
        check_exit_conditions(body, "noaction")
    check_exit_conditions(body, "performexitoptionsjobaction")
    check_exit_conditions({"exitConditions": {"default": {"jobAction": "none"}}}, "noaction")


@pytest.mark.parametrize(
    "conditions",
    [
        {"exitCodes": [{"code": "x", "exitOptions": {}}]},
        {"exitCodeRanges": [{"start": 4, "end": 2, "exitOptions": {}}]},
        {"default": {"jobAction": "explode"}},
        {"default": {"dependencyAction": "maybe"}},
        {"default": []},
    ],
)
def test_conditions_that_cannot_be(conditions):
    with pytest.raises(BatchError):
        check_exit_conditions({"exitConditions": conditions}, "performexitoptionsjobaction")


@given(st.integers(-3, 6), st.integers(0, 5), st.integers(0, 5))
def test_an_exact_code_goes_before_any_range(code, first, length):
    conditions = {
        "exitCodes": [{"code": code, "exitOptions": {"dependencyAction": "satisfy"}}],
        "exitCodeRanges": [{"start": first, "end": first + length, "exitOptions": {"dependencyAction": "block"}}],
        "default": {"dependencyAction": "block"},
    }
    assert options_of(ended(conditions, code)).satisfies


def test_a_terminated_task_blocks():
    done = replace(ended({}, 143, "TaskEnded"), failure_info=TASK_ENDED)
    assert options_of(done).satisfies is False
