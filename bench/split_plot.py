"""Draws what bench/split.py measured: JSON on stdin, the picture's file as argument. Wrong results are hatched."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw(results: list[dict], file: str) -> None:
    figure, axes = plt.subplots(1, len(results), figsize=(5.5 * len(results), 4.5), squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        peers = [peer for peer in result["peers"] if peer["runs"] and not peer["notRun"]]
        walls = [sorted(run["wall"] for run in peer["runs"])[len(peer["runs"]) // 2] for peer in peers]
        order = sorted(range(len(peers)), key=lambda at: -walls[at])
        colours = {"kyanite": "tab:green", "cp": "tab:gray"}
        for place, at in enumerate(order):
            name = peers[at]["name"]
            wrong = not peers[at]["right"] and not name.startswith("cp")
            hatch = "//" if wrong else None
            axis.barh(place, walls[at], color=colours.get(name, "tab:blue"), hatch=hatch, alpha=0.5 if wrong else 1)
            axis.text(walls[at], place, f" {walls[at]:.2f} s{' (wrong)' if wrong else ''}", va="center", fontsize=8)
        axis.set_yticks(range(len(order)), [peers[at]["name"] for at in order])
        axis.set_title(
            f"{result['input']}: {result['bytes'] / 1e6:.0f} MB, parts <= {result['maxBytes'] / 2**20:.0f} MiB"
        )
        axis.set_xlabel("seconds, whole process")
        axis.margins(x=0.25)
    figure.tight_layout()
    figure.savefig(file, dpi=120)


draw(json.load(sys.stdin), sys.argv[1])
