"""Every error a user can meet, as one tree.

KyaniteError                 anything we raise on purpose; `code` is the wire code, `status` the HTTP status
|- UserError                 the input is wrong
|  |- DefinitionError        a resource document cannot be read or is inconsistent (file, JSON path, line, column)
|  |- TemplateError          an ARM template cannot be evaluated or applied
|  |- ExpressionError        an expression cannot be parsed or evaluated (position in its text)
|  |- ParameterError         a run's parameters are missing, unknown or of the wrong type
|  |- NotFoundError          a named thing does not exist
|  |- ConflictError          the thing exists already or is in a state that forbids the operation
|  |- UnsupportedError       a kind we do not run; names it and what is supported
|  '- LimitError             larger, deeper or longer than `limits` allows
|- DataError                 a data file is corrupt or does not fit; names the file
|- StorageError              a storage operation failed (authentication, missing blob, disk full)
|- BatchError                a Batch operation failed
|- ActivityError             an activity ended badly; becomes the activity run's `error`
|- StateError                the durable state moved or cannot be used
|  |- VersionConflict        somebody else appended to the log first: read again, decide again
|  '- LeaseLost              another owner advances this run now
'- InvariantError            a defect of ours: state that must not exist
"""

from __future__ import annotations

from typing import ClassVar


class KyaniteError(Exception):
    """Base of all errors raised on purpose.

    `message` says what is wrong, `where` the place (file, JSON path, line and column, run, row), `cure` what to do.
    """

    code: ClassVar[str] = "InternalError"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, where: str | None = None, cure: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.cure = cure
        self.error_code = code or self.code

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} {self.cure}" if self.cure else text


class UserError(KyaniteError):
    """The input is wrong."""

    code = "BadRequest"
    status = 400


class DefinitionError(UserError):
    """A resource document cannot be read or is inconsistent."""


class TemplateError(UserError):
    """An ARM template cannot be evaluated or applied."""

    code = "InvalidTemplate"


class ExpressionError(UserError):
    """An expression cannot be parsed or evaluated.

    `position` is the 0-based offset in `text`, the whole string as it stands in the definition.
    """

    code = "InvalidTemplate"

    def __init__(
        self, message: str, *, text: str | None = None, position: int | None = None, cure: str | None = None
    ) -> None:
        super().__init__(message, cure=cure)
        self.text = text
        self.position = position


class ParameterError(UserError):
    """A run's parameters are missing, unknown or of the wrong type."""


class NotFoundError(UserError):
    """A named thing does not exist."""

    code = "ResourceNotFound"
    status = 404


class ConflictError(UserError):
    """The thing exists already or its state forbids the operation."""

    code = "Conflict"
    status = 409


class UnsupportedError(UserError):
    """A kind we do not run."""

    code = "NotSupported"


class LimitError(UserError):
    """Larger, deeper or longer than the limits allow."""

    code = "LimitExceeded"


class DataError(KyaniteError):
    """A data file is corrupt or does not fit."""

    code = "UserErrorInvalidData"
    status = 400


class StorageError(KyaniteError):
    """A storage operation failed; `error_code` is the service's code (`BlobNotFound`, `AuthenticationFailed`, ...)."""

    code = "StorageError"
    status = 500


class BatchError(KyaniteError):
    """A Batch operation failed; `error_code` is the service's code (`PoolNotFound`, `TaskExists`, ...).

    `values` are the pairs (key, value) that the service's error body has beside the message.
    """

    code = "BatchError"
    status = 400

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        cure: str | None = None,
        code: str | None = None,
        values: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message, where=where, cure=cure, code=code)
        self.values = values


class ActivityError(KyaniteError):
    """An activity ended badly; becomes the `error` member of its activity run.

    `failure_type` is `UserError` or `SystemError`, `details` a list of JSON values shown below the message.
    """

    code = "ActivityFailed"
    status = 400

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        failure_type: str = "UserError",
        details: list[object] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.failure_type = failure_type
        self.details = details or []


class StateError(KyaniteError):
    """The durable state moved or cannot be used."""

    code = "StateError"


class VersionConflict(StateError):
    """Somebody else appended to the log first: read again and decide again."""


class LeaseLost(StateError):
    """Another owner advances this run now."""


class InvariantError(KyaniteError):
    """State that must not exist: a defect of ours."""
