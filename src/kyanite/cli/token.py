"""`kyanite token`: tokens and client secrets for other people and programs, with no more rights than they need."""

from __future__ import annotations

import re

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.session import Session, pass_session
from kyanite.errors import UserError

_UNITS = {"m": 60, "h": 3600, "d": 86400}
_LONGEST_DAYS = 365


@command(
    "token",
    short_help="Make a token or a client's secret with a role.",
    examples=[
        ("to look at runs for a day", "kyanite token"),
        ("for a nightly job that starts pipelines, for 30 days", "kyanite token nightly --role operator --for 30d"),
        (
            "id and secret for ClientSecretCredential and `az login --service-principal`",
            "kyanite token ci --role author --client",
        ),
    ],
)
@click.argument("name", default="reader")
@click.option(
    "--role",
    type=click.Choice(["reader", "operator", "author", "admin"]),
    default="reader",
    show_default=True,
    help="What it may do: look; also start, stop and write data; also change definitions; everything.",
)
@click.option("--for", "duration", default="1d", show_default=True, metavar="TIME", help="How long: 30m, 12h, 30d.")
@click.option("--client", is_flag=True, help="A client id and secret instead, which get tokens until they are deleted.")
@json_option
@pass_session
def token(session: Session, name: str, role: str, duration: str, client: bool) -> None:
    """Print a token for NAME, to be sent as `Authorization: Bearer TOKEN` to a server of this workspace.

    The output is a secret. The owner's own key is in the workspace's file `token`.
    """
    import json

    from kyanite.runtime.clock import utc_now
    from kyanite.server.principals import client_secret
    from kyanite.server.tokens import EVERY_SERVICE, TENANT_ID, Identity, issue_token

    vault = session.workspace().vault
    if client:
        found = {"tenant": TENANT_ID, "clientId": name, "clientSecret": client_secret(vault, name, role)}
    else:
        identity = Identity(name, "user", frozenset({role}))
        made = issue_token(vault, identity, audience=EVERY_SERVICE, seconds=_seconds(duration), now=utc_now())
        found = {"token": made}
    # these secrets are what the command is for; everything else we print is masked
    if session.as_json:
        click.echo(json.dumps(found, indent=2))
    elif client:
        for label, value in found.items():
            click.echo(f"{label:<12}  {value}")
    else:
        click.echo(found["token"])


def _seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d{1,5})([mhd])", duration.strip().lower())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_DAYS * _UNITS["d"]:
        raise UserError(f"'{duration}' is not a time from 1m to {_LONGEST_DAYS}d.", cure="Examples: 30m, 12h, 30d.")
    return seconds
