"""`python -m kyanite.testing KIND FILE`: run a file of conformance cases."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from kyanite.testing.conformance import KINDS, Verdict, run_cases

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cases that fail and, last, `N passed, M failed`; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m kyanite.testing", description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("file", type=Path, help="one case per line, as JSON")
    parser.add_argument("--json", action="store_true", help="one JSON document instead; the last line goes to stderr")
    options = parser.parse_args(arguments)
    try:
        lines = options.file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{options.file}: {error}\n")
        return USAGE
    verdicts = list(run_cases(options.kind, lines))
    counted = [verdict for verdict in verdicts if verdict.contested is None]
    failed = sum(not verdict.passed for verdict in counted)
    summary = f"{len(counted) - failed} passed, {failed} failed\n"
    if options.json:
        sys.stdout.write(json.dumps(_document(verdicts), indent=2, ensure_ascii=True) + "\n")
        sys.stderr.write(summary)
    else:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stdout.write("".join(map(_text, verdicts)) + summary)
    return 1 if failed else 0


def _text(verdict: Verdict) -> str:
    contested = f"  contested: {verdict.contested}\n" if verdict.contested else ""
    if verdict.failure is None:
        return f"contested {verdict.id} agrees\n{contested}" if contested else ""
    what = "contested" if contested else "failed"
    detail = f"  wanted: {verdict.failure.wanted}\n  got:    {verdict.failure.got}\n"
    return f"{what} {verdict.id} {verdict.title}".rstrip() + f"\n{contested}{detail}"


def _document(verdicts: Sequence[Verdict]) -> dict[str, object]:
    counted = [verdict for verdict in verdicts if verdict.contested is None]
    return {
        "passed": sum(verdict.passed for verdict in counted),
        "failed": sum(not verdict.passed for verdict in counted),
        "contested": len(verdicts) - len(counted),
        "cases": [
            {
                "id": verdict.id,
                "title": verdict.title,
                "passed": verdict.passed,
                **({"contested": verdict.contested} if verdict.contested else {}),
                **(
                    {"wanted": verdict.failure.wanted, "got": verdict.failure.got}
                    if verdict.failure is not None
                    else {}
                ),
            }
            for verdict in verdicts
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
