"""Set up and run kyanite from a fresh clone with nothing but Python 3.11 or newer.

python3 dev.py demo [arguments]     the demonstration
python3 dev.py run ARGUMENTS        the kyanite command of this clone
python3 dev.py test [arguments]     all tests (arguments go to pytest)
python3 dev.py lint                 format, lint, types, import rules
python3 dev.py check                lint and the unit tests
python3 dev.py docs [--check]       write (or compare) the generated pages of docs/
python3 dev.py lock [--upgrade]     write the requirement files again, with hashes

The first start makes the folder .venv beside this file and installs the packages that requirements/ names, each
checked against its hash. It uses uv when that is on the PATH, else Python's own venv and pip.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "kyanite needs Python 3.11 or newer; this is Python " + sys.version.split()[0] + " (" + sys.executable + ")"
    )

if sys.platform == "win32":
    sys.exit("kyanite runs on Linux and macOS; on Windows use it inside WSL")

import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
SCRIPTS = ENVIRONMENT / "bin"
PYTHON = SCRIPTS / "python"
STAMP = ENVIRONMENT / "kyanite-ready"

# name of a lock file -> what `uv pip compile` reads for it
LOCKS = {
    "runtime": ["pyproject.toml"],
    "build": ["--group", "build"],
    "dev": ["pyproject.toml", "--group", "build", "--group", "dev"],
}
INSTALLED = {"runtime": ("runtime", "build"), "dev": ("dev",)}

LINT = (
    ("format", "ruff", "format", "--check", "."),
    ("lint", "ruff", "check", "."),
    ("types", "mypy"),
    ("imports", "lint-imports", "--no-cache"),
)
UNIT_TESTS = ("unit tests", "pytest", "tests/unit", "tests/repository")

NO_ENSUREPIP = """\
This Python ({python}) cannot make virtual environments: its module ensurepip is missing.
On Debian and Ubuntu: sudo apt-get install python3-venv
Or install uv (any way you like) and run the same command again."""

NOT_INSTALLED = """\
The packages could not be installed; the message above says why. The first start needs a Python package index.
Behind a proxy set HTTPS_PROXY; with a mirror set PIP_INDEX_URL (with uv: UV_DEFAULT_INDEX).
Nothing is broken: run the same command again when the index can be reached."""


def main(arguments: list[str]) -> int:
    """Do what the first argument says (the table is at the end of the file); the result is the exit code."""
    what, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if what in COMMANDS:
        return COMMANDS[what](rest)
    usage = (__doc__ or "").strip()
    if what in {"help", "-h", "--help"}:
        print(usage)
        return 0 if arguments else 2
    print(f"dev.py: unknown command {what!r}\n\n{usage}", file=sys.stderr)
    return 2


def kyanite(arguments: list[str]) -> int:
    """The command of this clone, run in the caller's folder."""
    set_up("runtime")
    return call([SCRIPTS / "kyanite", *arguments])


def test(arguments: list[str]) -> int:
    """The whole suite, or what the arguments select; older official clients have an environment of their own."""
    set_up("dev")
    if call([PYTHON, ROOT / "bench" / "environment.py", "install", "clients-old"]):
        sys.exit(NOT_INSTALLED)
    several = [] if {"-n", "--numprocesses", "--pdb"} & set(arguments) else ["-n", "2", "--dist", "worksteal"]
    return call([PYTHON, "-m", "pytest", *several, *arguments], cwd=ROOT)


def docs(arguments: list[str]) -> int:
    """Write the generated pages, or compare them with what the code says."""
    set_up("dev")
    return call([PYTHON, ROOT / "docs" / "generate.py", *arguments])


def checks(*steps: tuple[str, ...]) -> int:
    """Run every step, also after one has failed, and say at the end which did."""
    set_up("dev")
    failed = []
    for name, tool, *arguments in steps:
        print(f"== {name}", flush=True)
        if call([SCRIPTS / tool, *arguments], cwd=ROOT):
            failed.append(name)
    print("failed: " + ", ".join(failed) if failed else "all well", flush=True)
    return 1 if failed else 0


def call(command: Sequence[str | Path], cwd: Path | None = None) -> int:
    """Run a command to its end; Ctrl-C reaches it and we wait for it."""
    process = subprocess.Popen([str(part) for part in command], cwd=cwd)
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            continue


# ---- the environment


def set_up(level: str) -> None:
    """Make .venv what the requirement files of this level say; quick when it is already."""
    wanted = {name: stamp(name) for name in INSTALLED}
    found = STAMP.read_text(encoding="utf-8").split() if STAMP.exists() else []
    if PYTHON.exists() and found and found[0] in {wanted[level], wanted["dev"]}:
        return
    print(f"Setting up {ENVIRONMENT} (once; a minute or less on an ordinary line) ...", file=sys.stderr, flush=True)
    uv = shutil.which("uv")
    if not usable(found, uv):
        create(uv)
    STAMP.unlink(missing_ok=True)
    installer: list[str | Path]
    if uv:
        installer = [uv, "pip", "install", "--quiet", "--python", PYTHON]
    else:
        installer = [PYTHON, "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    files: list[str | Path] = [
        part for name in INSTALLED[level] for part in ("-r", ROOT / "requirements" / f"{name}.txt")
    ]
    install([*installer, "--require-hashes", *files])
    install([*installer, "--no-deps", "--no-build-isolation", "--editable", ROOT])
    STAMP.write_text(f"{wanted[level]}\n{place()}\n", encoding="utf-8")


def stamp(level: str) -> str:
    """A hash of everything that decides what is installed."""
    digest = hashlib.sha256(place().encode())
    for path in ["pyproject.toml", *(f"requirements/{name}.txt" for name in INSTALLED[level])]:
        digest.update((ROOT / path).read_bytes())
    return digest.hexdigest()


def place() -> str:
    """What a virtual environment is bound to: the Python version and its own folder."""
    bound_to = f"{sys.version_info[0]}.{sys.version_info[1]} {ENVIRONMENT}"
    return hashlib.sha256(bound_to.encode()).hexdigest()


def usable(found: list[str], uv: str | None) -> bool:
    """Whether the .venv that is there can be brought up to date instead of being made anew."""
    if not PYTHON.exists() or (found and found[-1] != place()):
        return False
    probe = "import sys; print(sys.version_info[:2])" + ("" if uv else "; import pip")
    result = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True, check=False)
    return result.returncode == 0 and result.stdout.strip() == str(sys.version_info[:2])


def create(uv: str | None) -> None:
    """An empty .venv with the Python that runs this file."""
    if uv:
        install([uv, "venv", "--quiet", "--clear", "--python", sys.executable, ENVIRONMENT])
        return
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(NO_ENSUREPIP.format(python=sys.executable))
    venv.create(ENVIRONMENT, clear=True, with_pip=True, symlinks=True)


def install(command: Sequence[str | Path]) -> None:
    """Run one step of the set-up; say what to do when it fails."""
    if call(command):
        sys.exit(NOT_INSTALLED)


# ---- the requirement files


def lock(arguments: list[str]) -> int:
    """Write requirements/*.txt for every platform and Python >= 3.11: versions and hashes, no addresses."""
    with tempfile.TemporaryDirectory() as folder:
        uv = shutil.which("uv") or fetch_uv(Path(folder))
        done: list[str] = []
        for name, sources in LOCKS.items():
            output = f"requirements/{name}.txt"
            constraints = [part for earlier in done for part in ("--constraint", earlier)]
            options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-config", "--quiet"]
            options += [
                "--no-emit-index-url",
                "--no-emit-find-links",
                "--custom-compile-command",
                "python3 dev.py lock",
            ]
            command = [uv, "pip", "compile", *sources, *options, *constraints, *arguments, "--output-file", output]
            if call(command, cwd=ROOT):
                return 1
            done.append(output)
            addresses = [line for line in (ROOT / output).read_text("utf-8").splitlines() if "://" in line]
            if addresses:
                print(f"{output} names an address: {addresses[0]}", file=sys.stderr)
                return 1
    return 0


def fetch_uv(folder: Path) -> str:
    """The program uv in a throw-away environment, for machines that have none."""
    venv.create(folder, with_pip=True)
    install([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"])
    return str(folder / "bin" / "uv")


COMMANDS = {
    "check": lambda arguments: checks(*LINT, UNIT_TESTS),
    "demo": lambda arguments: kyanite(["demo", *arguments]),
    "docs": docs,
    "lint": lambda arguments: checks(*LINT),
    "lock": lock,
    "run": kyanite,
    "test": test,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
