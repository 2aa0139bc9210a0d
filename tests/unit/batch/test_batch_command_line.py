from __future__ import annotations

import pytest

from kyanite.batch.command_line import parse_command_line
from kyanite.errors import BatchError

SHELL = ("/bin/sh", "-c")

CASES = [
    ("python splitparquet.py", ("python", "splitparquet.py")),
    ("  python main.py \n", ("python", "main.py")),
    ("python main.py 'a b' \"c d\" e\\ f", ("python", "main.py", "a b", "c d", "e f")),
    ("echo $HOME | cat", ("echo", "$HOME", "|", "cat")),
    ("/bin/sh -c 'echo $HOME | cat'", ("/bin/sh", "-c", "echo $HOME | cat")),
    ('/bin/bash -c "a && b"', ("/bin/bash", "-c", "a && b")),
    ('cmd /c "pip install pandas dask pyarrow"', (*SHELL, "pip install pandas dask pyarrow")),
    ("cmd /c pip install pandas", (*SHELL, "pip install pandas")),
    ("cmd.exe /C python x.py", (*SHELL, "python x.py")),
    ('CMD /s /c "python x.py"', (*SHELL, "python x.py")),
    ("cmd /v:on /c echo", (*SHELL, "echo")),
    ("%ComSpec% /c echo", (*SHELL, "echo")),
    (r"C:\Windows\System32\cmd.exe /c echo", (*SHELL, "echo")),
    ('cmd /c python x.py "a b"', (*SHELL, 'python x.py "a b"')),
    ('cmd /c "python x.py "a b""', (*SHELL, 'python x.py "a b"')),
    ("cmd /c echo %NAME%", (*SHELL, "echo ${NAME-%NAME%}")),
    (
        "cmd /c dir %AZ_BATCH_TASK_DIR%\\wd",
        (*SHELL, "dir ${AZ_BATCH_TASK_DIR-%AZ_BATCH_TASK_DIR%}/wd"),
    ),
    ("cmd /c curl https://h/p?sig=a%2Fb%3D", (*SHELL, "curl https://h/p?sig=a%2Fb%3D")),
    ("cmd /c cd x & echo y && echo z", (*SHELL, "cd x ; echo y && echo z")),
    ('cmd /c echo "a & b" 2>&1', (*SHELL, 'echo "a & b" 2>&1')),
    (r"cmd /c python scripts\run.py", (*SHELL, "python scripts/run.py")),
    (r'cmd /c findstr "a\d" x', (*SHELL, r'findstr "a\d" x')),
    ("cmdline /c x", ("cmdline", "/c", "x")),
    ("cmd", ("cmd",)),
    ("echo cmd /c x", ("echo", "cmd", "/c", "x")),
]


@pytest.mark.parametrize(("text", "arguments"), CASES)
def test_arguments(text, arguments):
    assert parse_command_line(text) == arguments


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_empty_is_refused(text):
    with pytest.raises(BatchError, match="empty"):
        parse_command_line(text)


@pytest.mark.parametrize("text", ["cmd /c", 'cmd /c ""', 'cmd /c " "'])
def test_a_shell_without_a_command_is_refused(text):
    with pytest.raises(BatchError, match="no command"):
        parse_command_line(text)


def test_an_open_quote_is_refused_with_a_cure():
    with pytest.raises(BatchError, match=r"No closing quotation.*Close the quote"):
        parse_command_line("echo don't")
