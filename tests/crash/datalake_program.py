"""A server to be killed: prints its address and key, serves until then. usage: datalake_program.py HOME"""

import sys
import time
from pathlib import Path

from kyanite.runtime.workspace import open_workspace

sys.path.insert(0, str(Path(__file__).parents[1]))
from server_kit import live_server

workspace = open_workspace(sys.argv[1], create=True)
key = workspace.accounts.create("acct").keys[0]
with live_server(workspace) as server:
    print(server.http_url, key, flush=True)
    time.sleep(300)
