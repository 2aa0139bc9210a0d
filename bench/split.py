"""Splitting, side by side: kyanite, cp and what else can split a parquet file, same input, same minutes.

    python bench/split.py [a b c ... | FILE ...] [--scale 0.1] [--max-size BYTES] [--repeat 3] [--peers Polars,DuckDB]
                          [--cache DIR] [--plot FILE.png] [--json]

Every run is a whole process, start-up and imports included; rounds go through all peers in turn. Inputs are in the page
cache. Outputs are not synced, but for `cp, then sync`, `bare copies` and `kyanite --sync`, which show what that costs.
What a peer wrote is compared with the input, value by value, before its time is shown: a wrong result is called wrong.
Peers live in bench/.venv (made by this program); one that is missing is said to be.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import environment
import inputs
import measure
from checking import Verdict
from split_peers import PEERS

HERE = Path(__file__).resolve().parent
OURS = "kyanite"
DURABLE = "kyanite --sync"  # waits for the disk, which cp and the peers do not
SYNCED = "cp, then sync"  # so does that
BARE = "bare copies"  # into files of that size, on the disk and summed up, as with --sync
COPIES = ("cp", SYNCED, BARE)
MIB = 1 << 20
HEADS = (
    *("", "wall s", "x ours", "CPU s", "peak MB", "parts", "min MiB", "mean MiB", "max MiB", "over", "max/min"),
    *("rows lost", "order", "schema", "metadata", "result"),
)


@dataclass
class Peer:
    """A peer's runs on one input, and what is to be said of its result."""

    name: str
    runs: list[measure.Run] = field(default_factory=list)
    verdict: Verdict | None = None
    absent: str = ""

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def right(self) -> bool:
        return not self.absent and self.verdict is not None and self.verdict.right


@dataclass(frozen=True)
class Input:
    """A file to split, the largest size of a part in bytes, and the columns that name a row."""

    name: str
    path: Path
    most: int
    key: tuple[str, ...] = ()


def command(name: str, given: Input, out: Path) -> list[str | Path]:
    """What starts a peer."""
    if name == "cp":
        return ["cp", given.path, out]
    if name == SYNCED:
        return ["sh", "-c", 'cp "$1" "$2" && sync "$2"/*', "sh", given.path, out]
    if name == BARE:
        return [sys.executable, HERE / "split_floor.py", given.path, out, str(given.most)]
    if name in (OURS, DURABLE):
        split = [sys.executable, "-m", "kyanite", "split", given.path, out, "--max-size", str(given.most)]
        return [*split, "--sync"] if name == DURABLE else split
    python = environment.python_of("bench")
    return [python or "", "-P", HERE / "split_peers.py", name, given.path, out, str(given.most)]


def compare(given: Input, names: Sequence[str], repeat: int, folder: Path) -> list[Peer]:
    """All peers on one input, `repeat` rounds; the first round's results are compared value by value."""
    ready = environment.python_of("bench") is not None
    peers = [Peer(name, absent="" if ready or name in {*COPIES, OURS, DURABLE} else "not installed") for name in names]
    out = folder / "parts"
    given.path.read_bytes()  # the page cache has it
    for number in range(repeat):
        for peer in peers:
            if peer.absent:
                continue
            measure.settle(out)
            run = measure.run(command(peer.name, given, out))
            if run.failure:
                missing = "No module named" in run.failure
                peer.absent = f"not installed ({run.failure})" if missing else f"failed: {run.failure}"
                continue
            peer.runs.append(run)
            if not number and peer.name not in COPIES:
                peer.verdict = judge([given.path], out, given.most, given.key)
            print(f"  {given.name}: {peer.name} {run.wall:.2f} s", file=sys.stderr, flush=True)
    measure.settle(out)
    return peers


def judge(originals: Sequence[Path], out: Path, most: int, key: Sequence[str]) -> Verdict:
    """The comparison with the input, in a process of its own: it needs memory."""
    parts = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(("_", "."))]
    program = [sys.executable, str(HERE / "checking.py"), str(most), ",".join(key)]
    program += [",".join(map(str, originals)), *map(str, parts)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the check failed"]
        return Verdict(len(parts), 1, 1, 1, 0, 0, "no", False, False, f"unreadable: {lines[-1][:120]}")
    return Verdict(**json.loads(done.stdout))


# ---- what is printed


def rows_of(peers: Sequence[Peer]) -> list[list[str]]:
    """The table of one input, quickest first."""
    ours = next((peer.wall for peer in peers if peer.name == OURS and not peer.absent), None)
    table = []
    for peer in sorted(peers, key=lambda peer: (bool(peer.absent), peer.wall if not peer.absent else 0)):
        if peer.absent:
            table.append([peer.name, *[""] * (len(HEADS) - 2), peer.absent])
            continue
        cells = [measure.spread([run.wall for run in peer.runs]), f"{peer.wall / ours:.1f}" if ours else ""]
        cells.append(measure.spread([run.cpu for run in peer.runs], 1))
        cells.append(f"{max(run.peak_mb for run in peer.runs) or float('nan'):.0f}")
        table.append([peer.name, *cells, *judgement(peer.verdict)])
    return table


def judgement(verdict: Verdict | None) -> list[str]:
    """The cells that a comparison with the input gives."""
    if verdict is None:
        return [""] * (len(HEADS) - 5)
    sizes = [f"{size / MIB:.2f}" for size in (verdict.smallest, verdict.mean, verdict.largest)]
    facts = [str(verdict.over), f"{verdict.spread:.3f}", str(verdict.rows_lost), verdict.order]
    kept = ["same" if verdict.schema else "changed", "kept" if verdict.metadata else "lost"]
    problem = verdict.problem or (f"{verdict.over} over the target" if verdict.over else "")
    return [str(verdict.parts), *sizes, *facts, *kept, f"WRONG: {problem}" if problem else "right"]


def goals(given: Input, peers: Sequence[Peer]) -> list[str]:
    """Each goal with what was measured; none when our own result is wrong."""
    named = {peer.name: peer for peer in peers if not peer.absent}
    ours, durable, cp = named.get(OURS), named.get(DURABLE), named.get("cp")
    if ours is None or durable is None or not (ours.right and durable.right):
        return ["kyanite's own result is not right: no goal is met"]
    others = [peer for peer in named.values() if peer.right and peer not in (ours, durable)]
    large = given.path.stat().st_size >= 700_000_000
    lines = [goal("peak memory, MB", max(run.peak_mb for run in ours.runs), 150, most=True)]
    if cp and large:
        lines.append(goal("times cp", ours.wall / cp.wall, 2.5, most=True))
        if synced := named.get(SYNCED):
            rates = f"{durable.wall / cp.wall:.1f} times cp, {durable.wall / synced.wall:.1f} times {SYNCED}"
            lines.append(f"{DURABLE}: {rates}, no goal")
    if others:
        best = min(others, key=lambda peer: peer.wall)
        wanted = 8.0 if large else 3.0
        lines.append(goal(f"times quicker than the quickest right peer ({best.name})", best.wall / ours.wall, wanted))
    else:
        lines.append("no peer is right on this input")
    return lines


def goal(what: str, value: float, wanted: float, *, most: bool = False) -> str:
    met = value <= wanted if most else value >= wanted
    return f"{what}: {value:.1f}, goal {'<=' if most else '>='} {wanted:g}: {'met' if met else 'MISSED'}"


def as_json(given: Input, peers: Sequence[Peer]) -> dict[str, Any]:
    return {
        "input": given.name,
        "bytes": given.path.stat().st_size,
        "maxBytes": given.most,
        "peers": [
            {
                "name": peer.name,
                "notRun": peer.absent,
                "right": peer.right,
                "runs": [{"wall": run.wall, "cpu": run.cpu, "peakMB": run.peak_mb} for run in peer.runs],
                "verdict": asdict(peer.verdict) if peer.verdict else None,
            }
            for peer in peers
        ],
        "goals": goals(given, peers),
    }


def plot(results: Sequence[dict[str, Any]], file: Path) -> None:
    """The picture, drawn where matplotlib is."""
    python = environment.python_of("bench")
    if python is None:
        print("No picture: matplotlib is not installed.", file=sys.stderr)
        return
    program = [str(python), "-P", str(HERE / "split_plot.py"), str(file)]
    done = subprocess.run(program, input=json.dumps(results), text=True, check=False, capture_output=True)
    if done.returncode:
        print(f"No picture: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)


def find_input(text: str, options: argparse.Namespace) -> Input:
    """A shape of bench/inputs.py or a file of the caller; parts are to be about a ninth, at most 100 MiB."""
    if text in inputs.SHAPES:
        path, key = inputs.path_of(text, options.scale, options.cache), inputs.SHAPES[text].key
    else:
        path, key = Path(text).resolve(), ()
    size = path.stat().st_size
    most = options.max_size or (100 * MIB if size > 400_000_000 else 4 * MIB if size < 30_000_000 else size // 6)
    return Input(text, path, most, key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", default=["a"], metavar="INPUT")
    parser.add_argument("--scale", type=float, default=1.0, help="of the shapes b to g")
    parser.add_argument("--max-size", type=int, help="bytes of a part (100 MiB; 4 MiB for inputs below 30 MB)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS), help="all unless named")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "kyanite-bench")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = [name for name in options.peers.split(",") if name]
    names = [*COPIES, OURS, DURABLE, *chosen]
    if unknown := [name for name in chosen if name not in PEERS]:
        parser.error(f"there is no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    if chosen:
        environment.prepare("bench")
    results = []
    told = measure.Machine()
    for text in options.inputs:
        try:
            given = find_input(text, options)
        except RuntimeError as error:
            print(f"{text}: left out, {error}", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(dir=options.cache if options.cache.exists() else None) as folder:
            peers = compare(given, names, options.repeat, Path(folder))
        results.append(as_json(given, peers))
        if not options.json:
            size = given.path.stat().st_size
            print(f"\n{given.name}: {size:,} bytes into parts of at most {given.most:,}")
            print(f"{options.repeat} rounds; {told}\n")
            measure.print_table(HEADS, rows_of(peers))
            print("", *goals(given, peers), sep="\n- ")
    if options.json:
        print(json.dumps({"machine": str(told), "results": results}, indent=2))
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
