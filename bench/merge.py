"""Joining parquet files into one, side by side: the Copy activity's merge, cp, Polars, DuckDB and pyarrow.

    python bench/merge.py [--megabytes 200] [--repeat 3] [--cache DIR] [--json]

Files of 25 MB (shape a of bench/inputs.py). Every run is a whole process; "work s" leaves out start-up and imports.
What was written is compared with the inputs, value by value and in their order, before its time is shown. cp joins the
bytes only: the limit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import environment
import inputs
import measure
from merge_peers import PEERS
from split import HERE, OURS, Peer, judge

from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts

GOAL = 10.0
HEADS = (
    "",
    "wall s",
    "work s",
    "MB/s",
    "x ours (wall)",
    "x ours (work)",
    "CPU s",
    "peak MB",
    "out MB",
    "order",
    "result",
)


def lay_out(home: Path, source: Path, megabytes: int) -> list[Path]:
    """The inputs as blobs of an embedded account."""
    account = StorageAccounts(home / "storage", Vault(home / "secrets.json")).create("boxes")
    account.create_container("box")
    folder = home / "storage" / "boxes" / "box" / "input"
    folder.mkdir()
    count = max(2, round(megabytes * 1e6 / source.stat().st_size))
    files = [folder / f"flights-{number:04d}.parquet" for number in range(count)]
    for file in files:
        shutil.copyfile(source, file)  # accounts refuse links
    return files


def compare(files: Sequence[Path], names: Sequence[str], repeat: int) -> list[Peer]:
    """All peers, `repeat` rounds; the first round's results are compared with the inputs."""
    ready = environment.python_of("bench")
    peers = [Peer(name, absent="" if ready or name in {"cp", OURS} else "not installed") for name in names]
    out = files[0].parent.parent / "source"
    target = out / "NewFile.parquet"
    for number in range(repeat):
        for peer in peers:
            if peer.absent:
                continue
            target.unlink(missing_ok=True)  # dropping the old file's pages is nobody's work
            measure.settle(out)
            python = sys.executable if peer.name == OURS else ready
            command = [python or "", "-P", HERE / "merge_peers.py", peer.name, target, *files]
            if peer.name == "cp":
                command = ["sh", "-c", 'out=$1; shift; cat "$@" > "$out"', "sh", target, *files]
            run = measure.run(command)
            if run.failure:
                peer.absent = f"failed: {run.failure}"
                continue
            peer.runs.append(run)
            if not number and peer.name != "cp":
                peer.verdict = judge(files, out, sys.maxsize, ())
            print(f"  {peer.name} {run.wall:.2f} s", file=sys.stderr, flush=True)
    return peers


def work(peer: Peer) -> float:
    """Median seconds without start-up."""
    if peer.name == "cp":
        return peer.wall
    return median(float(run.output.split()[-1]) for run in peer.runs)


def rows_of(peers: Sequence[Peer], size: int) -> list[list[str]]:
    ours = next((peer for peer in peers if peer.name == OURS and not peer.absent), None)
    table = []
    for peer in sorted(peers, key=lambda peer: (bool(peer.absent), peer.wall if not peer.absent else 0)):
        if peer.absent:
            table.append([peer.name, *[""] * (len(HEADS) - 2), peer.absent])
            continue
        cells = [measure.spread([run.wall for run in peer.runs]), f"{work(peer):.2f}", f"{size / work(peer) / 1e6:.0f}"]
        cells += [f"{peer.wall / ours.wall:.1f}", f"{work(peer) / work(ours):.1f}"] if ours else ["", ""]
        cells.append(measure.spread([run.cpu for run in peer.runs], 1))
        cells.append(f"{max(run.peak_mb for run in peer.runs):.0f}")
        verdict = peer.verdict
        if verdict:
            cells += [f"{verdict.largest / 1e6:.0f}", verdict.order]
            cells.append("right" if verdict.right else f"WRONG: {verdict.problem}")
        table.append([peer.name, *cells, *[""] * (len(HEADS) - 1 - len(cells))])
    return table


def goal(peers: Sequence[Peer]) -> str:
    named = {peer.name: peer for peer in peers if not peer.absent}
    others = [peer for name, peer in named.items() if peer.right and name != OURS]
    if OURS not in named or not named[OURS].right:
        return "kyanite's own result is not right: no goal is met"
    if not others:
        return "no peer is right"
    best = min(others, key=lambda peer: peer.wall)
    ratios = best.wall / named[OURS].wall, work(best) / work(named[OURS])
    met = "met" if ratios[0] >= GOAL else "MISSED"
    return (
        f"times quicker than the quickest right peer ({best.name}): {ratios[0]:.1f}, goal >= {GOAL:g}: {met}"
        f" ({ratios[1]:.1f} without start-up)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "kyanite-bench")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    environment.prepare("bench")
    told = measure.Machine()
    source = inputs.path_of("a", 1.0, options.cache)
    with tempfile.TemporaryDirectory(dir=options.cache) as folder:
        files = lay_out(Path(folder), source, options.megabytes)
        size = sum(file.stat().st_size for file in files)
        peers = compare(files, ["cp", *PEERS], options.repeat)
    if options.json:
        rows = [
            {
                "name": peer.name,
                "notRun": peer.absent,
                "right": peer.right,
                "runs": [{"wall": run.wall, "cpu": run.cpu, "peakMB": run.peak_mb} for run in peer.runs],
                "workSeconds": None if peer.absent else work(peer),
                "verdict": asdict(peer.verdict) if peer.verdict else None,
            }
            for peer in peers
        ]
        print(
            json.dumps(
                {"machine": str(told), "bytes": size, "files": len(files), "peers": rows, "goal": goal(peers)}, indent=2
            )
        )
        return
    print(f"\nmerge {len(files)} files, {size:,} bytes\n{options.repeat} rounds; {told}\n")
    measure.print_table(HEADS, rows_of(peers, size))
    print(f"\n- {goal(peers)}")


if __name__ == "__main__":
    main()
