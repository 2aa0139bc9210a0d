"""Rules of the repository itself: sizes, tables, what may be written in a file, what a command may import."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kyanite.cli.main import root

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "kyanite"
LONGEST_FILE = 500
TOPICS = ("collection", "conversion", "date", "logical", "math", "string")
NAMES_A_MODULE = re.compile(r"[\"']kyanite(\.\w+)+(:\w+)?[\"']")
HEAVY = {"obstore", "psutil", "pyarrow", "rich"}

# Spelled in pieces so that this file does not find itself.
FORBIDDEN_TEXT = {
    "an address of a package registry": re.compile(
        r"pypi\.org" + r"/simple|files\.pythonhosted" + r"\.org|registry\.npmjs" + r"\.org"
    ),
    "an index option": re.compile("--(extra-)?" + "index-url[ =]|^--" + "find-links", re.MULTILINE),
    "a path of one machine": re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm)" + r"/|/root" + r"/\.", re.MULTILINE),
}


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listing.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in python_files()}
    assert len(lengths) > 5
    assert {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


@functools.cache
def text_tables() -> list[tuple[str, list[str], list[str]]]:
    """Each module-level dict whose values name modules of the package: where it stands, its keys, those names.

    A value is a text "module:attribute" or a tuple that begins with one.
    """
    found = []
    for path in python_files():
        text = path.read_text("utf-8")
        for node in ast.parse(text).body if NAMES_A_MODULE.search(text) else ():
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if not isinstance(value, ast.Dict) or len(value.keys) < 2:
                continue
            keys = [part.value for part in value.keys if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            first = [part.elts[0] if isinstance(part, ast.Tuple) and part.elts else part for part in value.values]
            texts = [part.value for part in first if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            named = len(keys) == len(texts) == len(value.keys)
            if named and all(re.fullmatch(r"kyanite(\.\w+)+(:\w+)?", text) for text in texts):
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", keys, texts))
    return found


def test_tables_are_sorted_and_lead_somewhere() -> None:
    tables = text_tables()
    assert tables
    for where, keys, values in tables:
        assert keys == sorted(keys, key=str.lower), f"{where} is not sorted"
        for text in values:
            module, _, attribute = text.partition(":")
            assert hasattr(importlib.import_module(module), attribute or "__name__"), f"{where}: {text}"


def kinds() -> dict[str, set[str]]:
    """Folder -> its modules that are one kind each: those a table names, and the topics of expression functions."""
    folders = {"kyanite.expressions.functions": {f"kyanite.expressions.functions.{topic}" for topic in TOPICS}}
    for where, _, texts in text_tables():
        if not where.startswith("src/kyanite/cli/"):
            for text in texts:
                module = text.partition(":")[0]
                folders.setdefault(module.rpartition(".")[0], set()).add(module)
    return folders


def test_files_of_one_kind_do_not_import_each_other() -> None:
    found = []
    for modules in kinds().values():
        for module in modules:
            path = PACKAGE.parent / f"{module.replace('.', '/')}.py"
            if not path.exists():  # a kind of several files
                path = PACKAGE.parent / module.replace(".", "/") / "__init__.py"
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    named = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                elif isinstance(node, ast.Import):
                    named = {alias.name for alias in node.names}
                else:
                    continue
                found += [f"{module} imports {other}" for other in named & modules - {module}]
    assert found == []


def test_no_machine_and_no_registry_is_named_in_a_file() -> None:
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        text = content.decode("utf-8")
        for what, pattern in FORBIDDEN_TEXT.items():
            if match := pattern.search(text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line} holds {what}")
    assert found == []


def test_requirement_files_pin_every_package_by_hash() -> None:
    for name in ("runtime", "build", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        blocks = re.split(r"\n(?=[a-z0-9])", text)
        packages = [block for block in blocks if "==" in block]
        assert packages
        assert [block.split()[0] for block in packages if "--hash=sha256:" not in block] == []
        assert "://" not in text


def test_runtime_and_development_use_the_same_versions() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))

    shipped = {**pins("runtime"), **pins("build")}
    assert shipped
    assert shipped.items() <= pins("dev").items()


@pytest.mark.parametrize("arguments", [["--help"], ["runs", "--help"], ["init", "--help"]], ids=" ".join)
def test_a_plain_command_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from kyanite.cli.main import main\n"
        f"assert main({arguments!r}) == 0\n"
        "print('imported:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1].split()
    assert last[0] == "imported:"
    assert "click" in last
    assert HEAVY.intersection(last) == set()


def test_importing_the_package_imports_nothing_of_it() -> None:
    program = "import sys, kyanite; print(*sorted(name for name in sys.modules if name.startswith('kyanite')))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["kyanite", "kyanite._version"]


def imported_names(path: Path) -> Iterator[str]:
    """The top-level packages a file imports anywhere in it; a relative import counts as `.`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else (node.module or "").partition(".")[0]


def test_the_node_agent_needs_the_standard_library_only() -> None:
    """The three files that a node is started from by path; they name each other where they stand in the package."""
    ours = {"commands", "node_agent", "processes"}
    for name in ours:
        names = set(imported_names(PACKAGE / "batch" / f"{name}.py"))
        assert names
        assert names - set(sys.stdlib_module_names) - ours - {"kyanite"} == set()


def test_public_members_are_those_that_are_promised() -> None:
    import kyanite

    assert kyanite.__all__ == ["KyaniteError", "__version__", "open_workspace", "split"]
    for name in kyanite.__all__:
        assert getattr(kyanite, name) is not None


def test_examples_are_json_that_reads_the_same_twice() -> None:
    files = sorted((ROOT / "examples").rglob("*.json"))
    assert len(files) > 5
    for path in files:
        text = path.read_text("utf-8")
        document = json.loads(text, object_pairs_hook=no_duplicates)
        assert json.loads(json.dumps(document)) == document


def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key stands twice in {keys}"
    return dict(pairs)


def test_every_decision_is_numbered_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    numbers = [name[:4] for name in names]
    assert numbers == sorted(set(numbers))  # gaps are fine: pages are written side by side
    listing = (folder / "README.md").read_text("utf-8")
    assert [name for name in names if f"]({name})" not in listing] == []


def test_links_between_documents_lead_to_files() -> None:
    broken = []
    documents = [path for path in tracked_files() if path.suffix == ".md"]
    assert documents
    for path in documents:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text("utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)} -> {target}")
    assert broken == []


def test_generated_pages_say_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def written_commands() -> Iterator[tuple[str, list[str]]]:
    """Each line of a fenced block of a document that begins with `kyanite`: the document and the words after it."""
    for path in [path for path in tracked_files() if path.suffix == ".md"]:
        for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                if line.startswith("kyanite "):
                    yield str(path.relative_to(ROOT)), shlex.split(line, comments=True)[1:]


def test_documents_name_only_commands_and_options_that_exist() -> None:
    wrong, seen = [], 0
    for path, words in written_commands():
        seen += 1
        words = words[: words.index("--")] if "--" in words else words  # what follows is another program's
        command: click.Command = root
        context = click.Context(command)
        for word in words:
            if isinstance(command, click.Group) and not word.startswith("-"):
                found = command.get_command(context, word)
                if found is None:
                    wrong.append(f"{path}: kyanite {' '.join(words)}: no command {word}")
                    break
                command = found
        options = {name for parameter in command.get_params(context) for name in parameter.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        wrong += [f"{path}: kyanite {' '.join(words)}: no option {name}" for name in sorted(used - options)]
    assert seen > 5
    assert wrong == []
