"""A request that may not do what it asks, in the words of the storage service."""

from __future__ import annotations

from kyanite.errors import StorageError
from kyanite.server.tokens import TENANT_ID

STATUS: dict[str, int] = {
    "AuthenticationFailed": 403,
    "AuthorizationFailure": 403,
    "AuthorizationPermissionMismatch": 403,
    "AuthorizationProtocolMismatch": 403,
    "AuthorizationResourceTypeMismatch": 403,
    "AuthorizationServiceMismatch": 403,
    "AuthorizationSourceIPMismatch": 403,
    "InvalidAuthenticationInfo": 400,
    "NoAuthenticationInformation": 401,
}

_MESSAGES: dict[str, str] = {
    "AuthenticationFailed": (
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
        " including the signature."
    ),
    "AuthorizationFailure": "This request is not authorized to perform this operation.",
    "AuthorizationPermissionMismatch": (
        "This request is not authorized to perform this operation using this permission."
    ),
    "AuthorizationProtocolMismatch": "This request is not authorized to perform this operation using this protocol.",
    "AuthorizationResourceTypeMismatch": (
        "This request is not authorized to perform this operation using this resource type."
    ),
    "AuthorizationServiceMismatch": "This request is not authorized to perform this operation using this service.",
    "AuthorizationSourceIPMismatch": "This request is not authorized to perform this operation using this source IP.",
    "InvalidAuthenticationInfo": (
        "Authentication information is not given in the correct format. Check the value of Authorization header."
    ),
    "NoAuthenticationInformation": (
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
    ),
}

# tells a client that knows Bearer tokens whom to ask for one
CHALLENGE = (
    f"Bearer authorization_uri=https://login.microsoftonline.com/{TENANT_ID}/oauth2/authorize"
    " resource_id=https://storage.azure.com"
)


class AccessRefused(StorageError):
    """The request is not authenticated or not allowed; `detail` is the service's AuthenticationErrorDetail.

    It never holds a key or a signature. `challenge` is the WWW-Authenticate header, if any.
    """

    code = "AuthenticationFailed"

    def __init__(self, code: str, detail: str | None = None, *, status: int | None = None) -> None:
        super().__init__(_MESSAGES[code], code=code)
        self.detail = detail
        self.http_status = status or STATUS[code]
        self.challenge = CHALLENGE if self.http_status == 401 else None
