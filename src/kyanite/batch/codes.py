"""The Batch service's error codes: their HTTP status and their text. Batch reference section 25."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kyanite.errors import BatchError

# code -> (HTTP status, the service's sentence)
CODES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "AccountIsDisabled": (403, "The specified account is disabled."),
        "AccountNotFound": (404, "The specified account does not exist."),
        "ActiveJobAndScheduleQuotaReached": (409, "The quota of active jobs and job schedules has been reached."),
        "ApplicationNotFound": (404, "The specified application does not exist."),
        "AuthenticationFailed": (403, "The server failed to authenticate the request."),
        "AutoScaleFormulaTooLong": (400, "The autoscale formula is longer than 8192 characters."),
        "AutoScaleTooManyRequestsToEnable": (409, "Autoscale of the pool was enabled less than 30 seconds ago."),
        "AutoScalingFormulaSyntaxError": (400, "The autoscale formula has a syntax error."),
        "ConditionNotMet": (412, "The condition of the request's header(s) is not met."),
        "EmptyMetadataKey": (400, "A metadata item has no name."),
        "FileNotFound": (404, "The specified file does not exist."),
        "InternalError": (500, "The server met an internal error."),
        "InvalidApplicationPackageReferences": (409, "One or more application package references are invalid."),
        "InvalidAutoScalingSettings": (400, "The autoscale settings are invalid."),
        "InvalidHeaderValue": (400, "The value of one of the headers is invalid."),
        "InvalidPropertyValue": (400, "The value of one of the properties in the request body is invalid."),
        "InvalidQueryParameterValue": (400, "The value of one of the query parameters is invalid."),
        "InvalidRequestBody": (400, "The request body is invalid."),
        "InvalidUri": (400, "The requested URI is not valid."),
        "JobBeingDeleted": (409, "The specified job is being deleted."),
        "JobBeingTerminated": (409, "The specified job is being terminated."),
        "JobCompleted": (409, "The specified job has completed."),
        "JobDisabled": (409, "The specified job is disabled."),
        "JobExists": (409, "The specified job already exists."),
        "JobNotActive": (409, "The specified job is not active."),
        "JobNotDisabled": (409, "The specified job is not disabled."),
        "JobNotFound": (404, "The specified job does not exist."),
        "JobPreparationTaskNotSpecified": (409, "The job has no job preparation task."),
        "JobScheduleBeingDeleted": (409, "The specified job schedule is being deleted."),
        "JobScheduleBeingTerminated": (409, "The specified job schedule is being terminated."),
        "JobScheduleCompleted": (409, "The specified job schedule has completed."),
        "JobScheduleDisabled": (409, "The specified job schedule is disabled."),
        "JobScheduleExists": (409, "The specified job schedule already exists."),
        "JobScheduleNotDisabled": (409, "The specified job schedule is not disabled."),
        "JobScheduleNotFound": (404, "The specified job schedule does not exist."),
        "JobScheduleWithSameIdExists": (409, "A job schedule with the id of the job exists."),
        "JobWithSameIdExists": (409, "A job with the id of the job schedule exists."),
        "MissingRequiredProperty": (400, "A required property is missing from the request body."),
        "MultipleConditionHeadersNotSupported": (400, "More than one condition header was given."),
        "NodeAlreadyInTargetSchedulingState": (409, "The node is in the wanted scheduling state already."),
        "NodeBeingRebooted": (409, "The specified node is being rebooted."),
        "NodeNotFound": (404, "The specified node does not exist."),
        "NodeNotReady": (409, "The specified node is not ready."),
        "NodeStateUnusable": (409, "The specified node is unusable."),
        "NotImplemented": (501, "The requested operation is not implemented."),
        "OperationInvalidForCurrentState": (409, "The operation is not possible in the present state."),
        "OutOfRangePriority": (400, "The priority is out of range."),
        "PoolBeingDeleted": (409, "The specified pool is being deleted."),
        "PoolBeingResized": (409, "The specified pool is being resized."),
        "PoolExists": (409, "The specified pool already exists."),
        "PoolNotEligibleForOperation": (409, "The pool's settings do not allow the operation."),
        "PoolNotFound": (404, "The specified pool does not exist."),
        "PoolQuotaReached": (409, "The quota of pools has been reached."),
        "PropertyNotUpdatable": (400, "A property in the request body cannot be changed."),
        "RequestBodyTooLarge": (413, "The size of the request body exceeds the maximum size permitted."),
        "RequestEntityTooLarge": (413, "The size of the entity exceeds the maximum size permitted."),
        "ResourceNotFound": (404, "The specified resource does not exist."),
        "TaskCompleted": (409, "The specified task has completed."),
        "TaskDependenciesNotSpecifiedOnJob": (400, "The task has dependencies but the job does not use them."),
        "TaskDependencyListTooLong": (400, "The list of the task's dependencies is too long."),
        "TaskExists": (409, "The specified task already exists."),
        "TaskFilesCleanedup": (404, "The files of the specified task were removed from the node."),
        "TaskFilesUnavailable": (404, "The files of the specified task are not available."),
        "TaskIdSameAsJobManagerTask": (409, "The id is that of the job manager task."),
        "TaskIdSameAsJobPreparationTask": (409, "The id is that of the job preparation task."),
        "TaskIdSameAsJobReleaseTask": (409, "The id is that of the job release task."),
        "TaskNotFound": (404, "The specified task does not exist."),
        "UnsupportedProperty": (400, "A property in the request body is not supported."),
    }
)


def status_of(code: str) -> int:
    """The HTTP status with which the service answers a code; 400 for codes of ours that it does not know."""
    return CODES[code][0] if code in CODES else BatchError.status


def refusal(
    code: str, reason: str | None = None, /, *, where: str | None = None, cure: str | None = None, **values: str
) -> BatchError:
    """The error of a code with the service's sentence; `reason` and `values` become its details."""
    details = tuple((name, text) for name, text in values.items())
    if reason is not None:
        details = (*details, ("Reason", reason))
    message = CODES[code][1] if reason is None else f"{CODES[code][1]} {reason}"
    return BatchError(message, where=where, cure=cure, code=code, values=details)


def wrong_value(name: str, value: object, reason: str) -> BatchError:
    """InvalidPropertyValue with the details that the service gives: property, value, reason."""
    details = (("PropertyName", name), ("PropertyValue", str(value)[:200]), ("Reason", reason))
    return BatchError(f"{name} is '{str(value)[:200]}': {reason}", code="InvalidPropertyValue", values=details)


def missing(name: str) -> BatchError:
    """MissingRequiredProperty."""
    details = (("PropertyName", name),)
    return BatchError(f"The property '{name}' is required.", code="MissingRequiredProperty", values=details)
