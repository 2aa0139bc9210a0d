"""The environment of a task: built from scratch, never inherited. Batch reference section 11.

Later wins: allowed host variables and the pool's Python < job settings < task settings < AZ_BATCH_*.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from kyanite import limits
from kyanite.batch.pools import Launch

# The only variables of the host that a task sees.
HOST_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "USER",
    "PIP_*",
    "UV_*",
    "*_PROXY",
    "*_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "LD_LIBRARY_PATH",
)
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_NOT_FROM_HOST = ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "UV_PROJECT_ENVIRONMENT")


def node_environment(host: Mapping[str, str], python: Path, home: Path) -> dict[str, str]:
    """What a node gives to each task; `python` is the pool's environment folder, its programs are found first."""
    kept = {
        name: value
        for name, value in host.items()
        if name not in _NOT_FROM_HOST and any(fnmatchcase(name, pattern) for pattern in HOST_VARIABLES)
    }
    path = [str(python / "bin"), kept.get("PATH") or _DEFAULT_PATH, str(Path(sys.executable).parent)]
    return {**kept, "PATH": os.pathsep.join(path), "VIRTUAL_ENV": str(python), "KYANITE_HOME": str(home)}


def batch_environment(launch: Launch, node_folder: Path, task_folder: Path) -> dict[str, str]:
    """The AZ_BATCH_* variables of an attempt; a start task has neither job nor task."""
    place = launch.key.place
    variables = {
        "AZ_BATCH_ACCOUNT_NAME": place.account,
        "AZ_BATCH_ACCOUNT_URL": launch.account_url,
        "AZ_BATCH_POOL_ID": place.pool,
        "AZ_BATCH_NODE_ID": place.node,
        "AZ_BATCH_NODE_IS_DEDICATED": "true" if launch.dedicated else "false",
        "AZ_BATCH_NODE_ROOT_DIR": str(node_folder),
        "AZ_BATCH_NODE_SHARED_DIR": f"{node_folder}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{node_folder}/startup",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{node_folder}/fsmounts",
        "AZ_BATCH_CERTIFICATES_DIR": f"{node_folder}/certs",
        "AZ_BATCH_TASK_DIR": str(task_folder),
        "AZ_BATCH_TASK_WORKING_DIR": f"{task_folder}/wd",
        "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": str(limits.NODE_DISK_RESERVED_BYTES),
    }
    if launch.job_id is not None and launch.task_id is not None:
        variables["AZ_BATCH_JOB_ID"], variables["AZ_BATCH_TASK_ID"] = launch.job_id, launch.task_id
    if launch.preparation is not None:
        folder = node_folder.joinpath(*launch.preparation)
        variables["AZ_BATCH_JOB_PREP_DIR"] = str(folder)
        variables["AZ_BATCH_JOB_PREP_WORKING_DIR"] = str(folder / "wd")
    if launch.token is not None:
        variables["AZ_BATCH_AUTHENTICATION_TOKEN"] = launch.token
    return variables
