"""Targets, results text, errors, and the formulas that the service's documentation and known clients use."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from autoscale_world import NOW, WORLD, results, run, samples

from kyanite.batch.autoscale import Samples

WORK_HOURS = """
$curTime = time();
$workHours = $curTime.hour >= 8 && $curTime.hour < 18;
$isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
$isWorkingWeekdayHour = $workHours && $isWeekday;
$TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;
"""
PENDING = """
startingNumberOfVMs = 1;
maxNumberofVMs = 25;
pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
pendingTaskSamples = pendingTaskSamplePercent < 70
    ? startingNumberOfVMs
    : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
$TargetDedicatedNodes=min(maxNumberofVMs, pendingTaskSamples);
$NodeDeallocationOption = taskcompletion;
"""
PREEMPTED = """
maxNumberofVMs = 25;
$TargetDedicatedNodes = min(maxNumberofVMs, $PreemptedNodeCount.GetSample(180 * TimeInterval_Second));
$TargetLowPriorityNodes = min(maxNumberofVMs , maxNumberofVMs - $TargetDedicatedNodes);
$NodeDeallocationOption = taskcompletion;
"""
CPU = """
$totalDedicatedNodes =
    (min($CPUPercent.GetSample(TimeInterval_Minute * 10)) > 0.7) ?
    ($CurrentDedicatedNodes * 1.1) : $CurrentDedicatedNodes;
$totalDedicatedNodes =
    (avg($CPUPercent.GetSample(TimeInterval_Minute * 60)) < 0.2) ?
    ($CurrentDedicatedNodes * 0.9) : $totalDedicatedNodes;
$TargetDedicatedNodes = min(400, $totalDedicatedNodes)
"""
TASKS = """
// the last sample when there are few, else the most of it and the average of 15 minutes
$samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 15);
$tasks = $samples < 70
    ? max(0,$PendingTasks.GetSample(1))
    : max( $PendingTasks.GetSample(1), avg($PendingTasks.GetSample(TimeInterval_Minute * 15)));
$targetVMs = $tasks > 0? $tasks:max(0, $TargetDedicatedNodes/2);
$TargetDedicatedNodes = max(0, min($targetVMs, 20));
$NodeDeallocationOption = taskcompletion;
"""
PARALLEL = """
$samples = $ActiveTasks.GetSamplePercent(TimeInterval_Minute * 15);
$tasks = $samples < 70
    ? max(0,$ActiveTasks.GetSample(1))
    : max( $ActiveTasks.GetSample(1),avg($ActiveTasks.GetSample(TimeInterval_Minute * 15)));
$cores = $TargetDedicatedNodes * 4;
$extraVMs = (($tasks - $cores) + 3) / 4;
$targetVMs = ($TargetDedicatedNodes + $extraVMs);
$TargetDedicatedNodes = max(0,min($targetVMs,3));
"""
INITIAL = """
lifespan         = time() - time("2016-10-13T19:12:00Z");
span             = TimeInterval_Minute * 60;
startup          = TimeInterval_Minute * 10;
ratio            = 50;
$TargetDedicatedNodes = (lifespan > startup
    ? (max($RunningTasks.GetSample(span, ratio), $ActiveTasks.GetSample(span, ratio)) == 0
    ? 0
    : $TargetDedicatedNodes)
    : 4);
"""
NEXTFLOW = """
lifespan = time() - time("{created}");
interval = TimeInterval_Minute * 5;
$samples = $PendingTasks.GetSamplePercent(interval);
$tasks = $samples < 70
    ? max(0, $PendingTasks.GetSample(1))
    : max( $PendingTasks.GetSample(1), avg($PendingTasks.GetSample(interval)));
$targetVMs = $tasks > 0 ? $tasks : max(0, $TargetDedicatedNodes/2);
targetPoolSize = max(0, min($targetVMs, 50));
$TargetDedicatedNodes = lifespan < interval ? 3 : targetPoolSize;
"""
SHIPYARD = """
sli = TimeInterval_Second * 600.0;
samplepercent = $PendingTasks.GetSamplePercent(sli);
lastsample = val($PendingTasks.GetSample(1), 0);
samplevecavg = avg($PendingTasks.GetSample(sli));
PendingTaskAvg = samplepercent < 70
    ? max(0, lastsample)
    : (lastsample < samplevecavg
    ? avg(lastsample, samplevecavg)
    : max(lastsample, samplevecavg));
reqVMs = PendingTaskAvg / 2;
rebalance = 0 == 1;
$TargetDedicatedNodes = min(16777216, (reqVMs > 0 && reqVMs < 1) ? 1 : reqVMs);
"""
POWERSHELL = (
    "totalNodes=($CPUPercent.GetSamplePercent(TimeInterval_Minute*0,TimeInterval_Minute*10)<0.7?5:"
    "(min($CPUPercent.GetSample(TimeInterval_Minute*0, TimeInterval_Minute*10))>0.8"
    "?($CurrentDedicated*1.1):$CurrentDedicated));"
    "$TargetDedicated=min(100,totalNodes);"
)


def pending(*values: float) -> Samples:
    return samples({"$PendingTasks": values})


@pytest.mark.parametrize(
    ("formula", "world", "dedicated"),
    [
        (WORK_HOURS, WORLD, 10),
        (PENDING, pending(4, 4, 4, 8, 8, 8), 6),
        (PENDING, pending(8, 8, 8), 1),
        (PENDING, pending(*[90] * 6), 25),
        (PREEMPTED, samples({"$PreemptedNodeCount": [3]}), 3),
        (PREEMPTED, samples({}), 25),
        (CPU, samples({"$CPUPercent": [0.9] * 120, "$CurrentDedicatedNodes": [20]}), 22),
        (CPU, samples({"$CPUPercent": [0.1] * 120, "$CurrentDedicatedNodes": [20]}), 18),
        (CPU, samples({"$CPUPercent": [0.5] * 120, "$CurrentDedicatedNodes": [20]}), 20),
        (TASKS, pending(7), 7),
        (TASKS, pending(*[2] * 29, 12), 12),
        (TASKS, pending(0), 2),
        (PARALLEL, samples({"$ActiveTasks": [1]}), 1),
        (INITIAL, samples({}), 4),
        (NEXTFLOW.replace("{created}", "2016-10-13T19:18:00Z"), pending(30), 3),
        (NEXTFLOW.replace("{created}", "2016-10-13T18:00:00.123456789Z"), pending(30), 30),
        (SHIPYARD, pending(10), 5),
        (SHIPYARD, samples({"$PendingTasks": [1]}, now=NOW - timedelta(hours=2)), 1),
        (POWERSHELL, samples({}), 5),
        (POWERSHELL, samples({"$CPUPercent": [0.9] * 20, "$CurrentDedicatedNodes": [10]}), 11),
    ],
)
def test_known_formulas_ask_for_what_they_say(formula: str, world: Samples, dedicated: int) -> None:
    outcome = run(formula, world)
    assert outcome.error is None
    assert outcome.dedicated == dedicated


def test_monday_and_other_days() -> None:
    formula = "$TargetDedicatedNodes = (time().weekday == 1 ? 5:1);"
    assert [run(formula, now=datetime(2026, 11, day, tzinfo=NOW.tzinfo)).dedicated for day in (22, 23, 24)] == [1, 5, 1]


def test_results_are_written_as_the_service_does() -> None:
    document = run(WORK_HOURS, dedicated=1, low_priority=0).to_json()
    assert document == {
        "timestamp": "2016-10-13T19:18:47.805000Z",
        "results": "$TargetDedicatedNodes=10;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;"
        "$curTime=2016-10-13T19:18:47.805Z;$isWeekday=1;$isWorkingWeekdayHour=0;$workHours=0",
    }


def test_too_few_samples_are_the_services_error_and_change_nothing() -> None:
    outcome = run("before = 1;\n$TargetDedicatedNodes = 9;\n$RunningTasks.GetSample(TimeInterval_Minute*5,100);")
    assert outcome.to_json() == {
        "timestamp": "2016-10-13T19:18:47.805000Z",
        "results": "$TargetDedicatedNodes=4;$TargetLowPriorityNodes=2;$NodeDeallocationOption=requeue;before=1",
        "error": {
            "code": "InsufficientSampleData",
            "message": "Autoscale evaluation failed due to insufficient sample data",
            "values": [
                {
                    "name": "Message",
                    "value": "Line 3, Col 24: Insufficient data from data set: $RunningTasks wanted 100%, received 50%",
                }
            ],
        },
    }
    assert (outcome.dedicated, outcome.low_priority, outcome.option) == (4, 2, "requeue")


@pytest.mark.parametrize(
    ("formula", "dedicated", "low_priority", "option"),
    [
        ("$TargetDedicatedNodes = 3.8", 3, 2, "requeue"),
        ("$TargetDedicatedNodes = -3.8", 0, 2, "requeue"),
        ("$TargetLowPriorityNodes = 9", 4, 9, "requeue"),
        ("$TargetDedicated = 7", 7, 2, "requeue"),
        ("$TargetDedicatedNodes = 6; $TargetDedicated = 7", 6, 2, "requeue"),
        ("$TargetDedicated = 7; $TargetDedicatedNodes = 6", 6, 2, "requeue"),
        ("$TargetLowPriority = 1; x = $TargetLowPriorityNodes; $TargetDedicated = x", 1, 1, "requeue"),
        ("$targetdedicatednodes = 5; $TARGETDEDICATEDNODES = $targetDedicatedNodes + 1", 6, 2, "requeue"),
        ("$NodeDeallocationOption = taskcompletion", 4, 2, "taskcompletion"),
        ("$TVMDeallocationOption = terminate", 4, 2, "terminate"),
        ("$NodeDeallocationOption = time().hour > 12 ? retaineddata : requeue", 4, 2, "retaineddata"),
        ("requeue = 3; $TargetDedicatedNodes = requeue", 3, 2, "requeue"),
        ("$TargetDedicatedNodes = 1; stop(); $TargetDedicatedNodes = 2", 1, 2, "requeue"),
        ("$TargetDedicatedNodes = 1; x = 1 ? stop() : 5; $TargetDedicatedNodes = 2", 1, 2, "requeue"),
        ("$TargetDedicatedNodes = $PendingTasks.GetSample(1)", 10, 2, "requeue"),
        ("$TargetDedicatedNodes = $PendingTasks", 10, 2, "requeue"),
        ("", 4, 2, "requeue"),
    ],
)
def test_targets(formula: str, dedicated: int, low_priority: int, option: str) -> None:
    outcome = run(formula)
    assert outcome.error is None
    assert (outcome.dedicated, outcome.low_priority, outcome.option) == (dedicated, low_priority, option)
    assert results(outcome)["$TargetDedicatedNodes"] == str(dedicated)


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("$TargetDedicatedNodes = avg([])", "$TargetDedicatedNodes is NaN; a number of nodes is needed."),
        ("$TargetDedicatedNodes = 1e12", "$TargetDedicatedNodes is 1000000000000; a number of nodes is needed."),
        ("$TargetDedicatedNodes = [1,2]", "A double is needed, this is a doubleVec."),
        ("$TargetDedicatedNodes = time()", "A double is needed, this is a timestamp."),
        ('$NodeDeallocationOption = "requeue"', "it takes one of the words requeue, terminate"),
    ],
)
def test_targets_that_are_none_are_errors(formula: str, says: str) -> None:
    outcome = run(formula)
    assert outcome.error is not None
    assert says in outcome.error[1]
    assert outcome.error[1].startswith("Line 1, Col 1: ")
    assert (outcome.dedicated, outcome.low_priority) == (4, 2)


def test_samples_of_the_future_are_not_seen() -> None:
    outcome = run("x = $PendingTasks.GetSample(99)", WORLD, now=NOW - timedelta(seconds=60))
    assert results(outcome)["x"] == "[1,2,3,4,5,6,7,8]"
