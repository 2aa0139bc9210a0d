"""`kyanite audit`: who changed what through the server, and who was refused."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.output import print_table
from kyanite.cli.session import Session, pass_session


@command(
    "audit",
    short_help="Show who changed what through the server, and who was refused.",
    examples=[
        ("the newest", "kyanite audit"),
        ("everything, as JSON lines for another system", "kyanite audit --all --json"),
        ("what was refused since a day", "kyanite audit --refused --since 2024-01-31"),
    ],
)
@click.option("--since", type=click.DateTime(), metavar="TIME", help="From this time on (UTC).")
@click.option("--refused", is_flag=True, help="Only what was refused or failed.")
@click.option("--who", metavar="NAME", help="Only what one identity asked for.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
@click.option("--all", "everything", is_flag=True, help="No limit.")
@json_option
@pass_session
def audit(
    session: Session, since: datetime | None, refused: bool, who: str | None, limit: int, everything: bool
) -> None:
    """Show the audit log, oldest first. With --json each entry is one line of JSON.

    Calls that only read and were allowed are not in it.
    """
    from kyanite.engine.events import utc_text
    from kyanite.server.management.audit import as_line, entries

    found = entries(
        session.workspace().database,
        since=utc_text(since.replace(tzinfo=UTC)) if since else None,
        refused=refused,
        who=who,
        limit=-1 if everything else limit,
    )
    if session.as_json:
        for entry in found:
            session.echo(as_line(entry))
        return
    rows = [
        [
            entry["at"][:19].replace("T", " "),
            entry["who"] or "(nobody)",
            entry["method"],
            entry["operation"] or "(no operation)",
            entry["target"],
            f"{entry['result']} {entry['code']}".strip(),
        ]
        for entry in found
    ]
    print_table(session, ["time (UTC)", "who", "method", "operation", "target", "result"], rows)
