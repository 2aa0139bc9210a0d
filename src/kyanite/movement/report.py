"""What a copy tells: its output in Data Factory's own shape, and its failures in the service's own words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kyanite.errors import ActivityError, KyaniteError
from kyanite.limits import MERGED_FILES_LISTED

SOURCE, SINK = "Source", "Sink"
RUNTIME = "DefaultIntegrationRuntime (local)"
_MISSING = frozenset({"BlobNotFound", "ContainerNotFound", "PathNotFound"})
_SYSTEM = frozenset({"DiskFull", "ReadOnly", "Unreachable", "ServerBusy", "InternalError", "StorageError"})


@dataclass
class Tally:
    """The counters of a copy while it runs; times are seconds since its start."""

    source_type: str
    sink_type: str
    started: datetime
    has_rows: bool
    units: int
    rows_read: int = 0
    rows_copied: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    files_read: int = 0
    files_written: int = 0
    listed: float = 0.0
    elapsed: float = 0.0
    consistency: str = "NotVerified"
    merged: list[str] = field(default_factory=list)


def output_of(tally: Tally, status: str, errors: list[Any] | None = None) -> dict[str, Any]:
    """The copy's output so far (`InProgress`) or at its end; shape: data-factory.md 4.9.

    `mergedFiles` is ours: the sources of a merge in the order in which they stand in the sink.
    """
    duration = max(1, math.ceil(tally.elapsed))
    output: dict[str, Any] = {
        "dataRead": tally.bytes_read,
        "dataWritten": tally.bytes_written,
        "filesRead": tally.files_read,
        "filesWritten": tally.files_written,
        "sourcePeakConnections": 1,
        "sinkPeakConnections": 1,
    }
    if tally.has_rows:
        output |= {"rowsRead": tally.rows_read, "rowsCopied": tally.rows_copied}
    transfer = max(tally.elapsed - tally.listed, 0.001)
    output |= {
        "copyDuration": duration,
        "throughput": round(tally.bytes_read / 1024 / transfer, 3),
        "errors": errors or [],
        "effectiveIntegrationRuntime": RUNTIME,
        "usedDataIntegrationUnits": tally.units,
        "billingReference": {
            "activityType": "DataMovement",
            "billableDuration": [
                {"meterType": "AzureIR", "duration": math.ceil(duration / 60) / 60 * tally.units, "unit": "DIUHours"}
            ],
        },
        "usedParallelCopies": 1,
        "executionDetails": [_execution(tally, status, duration)],
        "dataConsistencyVerification": {"VerificationResult": tally.consistency},
        "durationInQueue": {"integrationRuntimeQueue": 0},
    }
    if tally.consistency == "Verified":
        output["dataConsistencyVerification"]["InconsistentData"] = "None"
    if tally.merged:
        output["mergedFiles"] = tally.merged[:MERGED_FILES_LISTED]
    return output


def _execution(tally: Tally, status: str, duration: int) -> dict[str, Any]:
    listing = math.ceil(tally.listed)
    done = "Completed" if status == "Succeeded" else status
    return {
        "source": {"type": tally.source_type},
        "sink": {"type": tally.sink_type},
        "status": status,
        "start": tally.started.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "duration": duration,
        "usedDataIntegrationUnits": tally.units,
        "usedParallelCopies": 1,
        "profile": {
            "queue": {"status": "Completed", "duration": 0},
            "transfer": {
                "status": done,
                "duration": duration,
                "details": {
                    "listingSource": {"type": tally.source_type, "workingDuration": listing},
                    "readingFromSource": {"type": tally.source_type, "workingDuration": duration},
                    "writingToSink": {"type": tally.sink_type, "workingDuration": duration},
                },
            },
        },
        "detailedDurations": {"queuingDuration": 0, "transferDuration": duration},
    }


def copy_failure(problem: KyaniteError, side: str | None) -> ActivityError:
    """The activity error for a failure on a side, worded like the service's: `Failure happened on 'Sink' side. ...`."""
    if isinstance(problem, ActivityError):
        return problem
    code = problem.error_code
    if side == SOURCE and code in _MISSING:
        code = "UserErrorSourceBlobNotExist"
    happened = f"Failure happened on '{side}' side. " if side else ""
    return ActivityError(
        f"{happened}ErrorCode={code},"
        f"'Type=Microsoft.DataTransfer.Common.Shared.HybridDeliveryException,Message={problem},Source=kyanite,'",
        code="2200",
        failure_type="SystemError" if code in _SYSTEM else "UserError",
    )
