"""The virtual environments of the peers and of other clients, under bench/.venv, from hash-locked requirement files;
nothing of the project's own environment is touched.

    python bench/environment.py [install] [bench | bench-spark | bench-orchestrators | clients-old ...]
    python bench/environment.py lock [--upgrade]
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "bench" / ".venv"
NAMES = ("bench", "bench-batch", "bench-orchestrators", "bench-spark", "clients-airflow", "clients-az", "clients-old")


def python_of(name: str) -> Path | None:
    """The Python of an environment that is there and up to date; None when it is not."""
    python = FOLDER / name / "bin" / "python"
    stamp = FOLDER / name / "ready"
    return python if stamp.is_file() and stamp.read_text("utf-8") == _stamp(name) and python.exists() else None


def prepare(name: str) -> Path | None:
    """The Python of an environment, made first when needed; None, and why on stderr, when it cannot be made."""
    if found := python_of(name):
        return found
    print(f"Setting up {FOLDER / name} (once; some minutes) ...", file=sys.stderr, flush=True)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    venv.create(folder, with_pip=uv is None, symlinks=True)
    installer = [uv, "pip", "install", "--quiet", "--python"] if uv else []
    python = str(folder / "bin" / "python")
    command = [*installer, python] if uv else [python, "-m", "pip", "install", "--quiet", "--no-input"]
    done = subprocess.run([*command, "--require-hashes", "-r", str(_requirements(name))], check=False)
    if done.returncode:
        print(f"{_requirements(name).name} cannot be installed; its peers are left out.", file=sys.stderr)
        return None
    (folder / "ready").write_text(_stamp(name), encoding="utf-8")
    return python_of(name)


def clean_environ() -> dict[str, str]:
    """The environment variables of a peer's process: ours, without what would lead it to our packages."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


def lock(arguments: list[str]) -> int:
    """Write requirements/bench*.txt: versions and hashes for every platform, no addresses."""
    uv = shutil.which("uv")
    if uv is None:
        print("Locking needs the program uv on the PATH.", file=sys.stderr)
        return 1
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-config", "--quiet"]
    options += ["--no-emit-index-url", "--no-emit-find-links"]
    options += ["--custom-compile-command", "python3 bench/environment.py lock", *arguments]
    for name in NAMES:
        output = f"requirements/{name}.txt"
        command = [uv, "pip", "compile", f"requirements/{name}.in", *options, "--output-file", output]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return 1
        if "://" in (ROOT / output).read_text("utf-8"):
            print(f"{output} names an address.", file=sys.stderr)
            return 1
    return 0


def _requirements(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


def _stamp(name: str) -> str:
    return hashlib.sha256(_requirements(name).read_bytes() + sys.version.encode() + str(FOLDER).encode()).hexdigest()


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["lock"]:
        return lock(arguments[1:])
    names = arguments[1:] if arguments[:1] == ["install"] else arguments
    if unknown := [name for name in names if name not in NAMES]:
        print(f"There is no {unknown[0]}; there are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    prepared = [prepare(name) for name in names or NAMES]
    return 0 if all(prepared) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
