"""One vault file used by many processes and threads at once."""

import subprocess
import sys
import threading

from kyanite.secrets import Vault


def test_many_processes_and_threads_lose_nothing(tmp_path):
    path = tmp_path / "secrets.json"
    program = (
        "import sys; from pathlib import Path; from kyanite.secrets import Vault\n"
        "vault = Vault(Path(sys.argv[1]))\n"
        "for number in range(15): vault.put(f'{sys.argv[2]}/{number}', f'value {sys.argv[2]} {number}')\n"
        "print(vault.get_or_create('shared'))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, path, name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    vault = Vault(path)

    def write(name):
        for number in range(15):
            vault.put(f"{name}/{number}", f"value {name} {number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in ("three", "four")]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    keys = {writer.communicate()[0] for writer in writers}
    assert len(keys) == 1
    assert [writer.returncode for writer in writers] == [0, 0]
    for name in ("one", "two", "three", "four"):
        assert [vault.get(f"{name}/{n}") for n in range(15)] == [f"value {name} {n}" for n in range(15)]


def test_sealing_while_another_thread_stores(tmp_path):
    vault = Vault(tmp_path / "secrets.json")
    vault.put("password", "my password")
    stop = threading.Event()

    def store():
        for number in range(30):
            vault.put("other", f"changing value {number}")
        stop.set()

    thread = threading.Thread(target=store)
    thread.start()
    while not stop.is_set():
        assert "my password" not in vault.seal_json({"a": "my password"})
        assert vault.open(vault.seal("my password")) == "my password"
    thread.join()
