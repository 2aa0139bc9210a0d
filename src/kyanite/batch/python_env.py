"""A pool's own Python environment: packages installed by its start task land there, never in kyanite's.

The packages beside kyanite are importable too, after the environment's own, so a script finds `kyanite` and `pyarrow`
without installing anything.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import site
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kyanite.errors import BatchError

MARKER = "kyanite-environment.json"
_PIP = """#!/bin/sh
# pip of this pool's environment: installs here and nowhere else
exec "$(dirname "$0")/python" -m pip "$@"
"""


def current_stamp(folder: Path) -> str | None:
    """The name of the finished build in a folder; None when there is none or it was made for another Python."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return str(marker["stamp"]) if marker.get("host") == _host() else None


def ensure(folder: Path, say: Callable[[str], None]) -> str:
    """Make the environment unless a fitting one is there; its stamp. Safe when several processes ask at once."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder.with_name("env.lock")):
        stamp = current_stamp(folder)
        if stamp is None:
            say("making the Python environment")
            stamp = _build(folder, say)
    return stamp


def _build(folder: Path, say: Callable[[str], None]) -> str:
    import venv

    if folder.exists():
        shutil.rmtree(folder)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "kyanite_host.pth").write_text(_host_packages(), encoding="utf-8")
    if find_spec("pip") is None:
        say("installing pip")
        _install_pip(folder)
    for name in ("pip", "pip3"):
        launcher = folder / "bin" / name
        launcher.write_text(_PIP, encoding="utf-8")
        launcher.chmod(0o755)
    stamp = uuid.uuid4().hex
    beside = folder / (MARKER + ".new")
    beside.write_text(json.dumps({"stamp": stamp, "host": _host()}), encoding="utf-8")
    beside.replace(folder / MARKER)
    return stamp


def _install_pip(folder: Path) -> None:
    """From the copy that Python carries; no network."""
    command = [str(folder / "bin" / "python"), "-m", "ensurepip"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BatchError(
            f"pip could not be put into the pool's environment: {done.stderr.strip()[-300:]}",
            cure="Install pip beside kyanite, or the system's package with ensurepip (Debian: python3-venv).",
            code="PoolEnvironmentFailed",
        )


def _host_packages() -> str:
    """A .pth file; `addsitedir` also follows the .pth files of the host (editable installs)."""
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    lines = [f"import site; site.addsitedir({folder!r})" for folder in folders if Path(folder).is_dir()]
    ours = Path(__file__).parents[2]
    return "\n".join([*lines, str(ours)]) + "\n"


def _host() -> dict[str, Any]:
    return {"executable": sys.executable, "version": sys.version, "kyanite": str(Path(__file__).parents[2])}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
