"""`kyanite demo`: the tutorial from deployment to checked result files, in one command."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.demo_proof import Proof, measure, proof_json, show_proof
from kyanite.cli.deploy import deploy_template
from kyanite.cli.output import count, duration, size
from kyanite.cli.report import run_document, show_run
from kyanite.cli.run import work_on
from kyanite.cli.runs import LogPrinter
from kyanite.cli.session import Session, pass_session
from kyanite.cli.storage_path import find_account
from kyanite.cli.transfer import Moving, upload
from kyanite.errors import NotFoundError

if TYPE_CHECKING:
    from kyanite.storage import StorageAccount

PIPELINE = "SampleCopyPipeline"
ACCOUNT = "airlinestorage"
DATA = "filestorage"
SCRIPTS = "batchstorage"


@command(
    "demo",
    short_help="Run the airline example from deployment to checked result files.",
    examples=[
        ("in a temporary workspace", "kyanite demo"),
        ("in a workspace to look at afterwards", "kyanite demo --home ./demo"),
        ("more data, smaller parts", "kyanite demo --files 20 --target-mb 2"),
    ],
)
@click.option("--files", "number", type=click.IntRange(1, 10_000), default=4, show_default=True, help="Input files.")
@click.option(
    "--target-mb", type=click.IntRange(1, 100_000), default=4, show_default=True, help="The largest a part may be."
)
@click.option("--keep/--no-keep", default=None, help="Keep the workspace (default: only one named with --home).")
@json_option
@pass_session
def demo(session: Session, number: int, target_mb: int, keep: bool | None) -> int:
    """Deploy the airline example, upload flights, run its pipeline (merge, then split on a pool) and check the parts.

    The exit code is 1 when the run does not succeed, a row is lost or a part is larger than the target.
    """
    with demo_home(session, keep):
        return _demo(session, number, target_mb)


@contextmanager
def demo_home(session: Session, keep: bool | None) -> Iterator[None]:
    """A temporary workspace unless --home names one; removed at the end unless it is to be kept or was there before."""
    named = session.home is not None
    if session.home is None:
        session.home = Path(tempfile.mkdtemp(prefix="kyanite-demo-"))
    kept = (named if keep is None else keep) or (session.home / "kyanite.db").exists()
    try:
        yield
    except KeyboardInterrupt:
        kept = True
        raise
    finally:
        session.close()
        if kept:
            session.echo(f"\nthe workspace is kept: {session.home}", err=session.as_json)
        else:
            shutil.rmtree(session.home, ignore_errors=True)


def examples_folder() -> Path:
    """The airline example: inside the installed package, or in the source checkout."""
    packaged = Path(str(files("kyanite"))) / "_examples" / "airline"
    checkout = Path(str(files("kyanite"))).parents[1] / "examples" / "airline"
    for folder in (packaged, checkout):
        if (folder / "template.json").is_file():
            return folder
    raise NotFoundError("The airline example is not part of this installation.", where=str(packaged))


def _demo(session: Session, number: int, target_mb: int) -> int:
    from kyanite.runtime.monitor import activity_runs, pipeline_run
    from kyanite.runtime.start import start_run

    folder = examples_folder()
    say = _Steps(session)
    say.step("Deploy examples/airline/template.json: storage account, Batch pool with start task, factory")
    workspace = session.workspace(create=True)
    deployment = deploy_template(session, folder / "template.json", (f"partSizeInMB={target_mb}",), embedded=True)
    account = find_account(workspace.accounts, ACCOUNT)
    say.step(f"Upload {count(number)} files of flights to {DATA}/input and the program to {SCRIPTS}")
    _upload(session, account, folder, number)
    say.step(f"Run {PIPELINE}")
    began = time.monotonic()
    run_id = start_run(workspace, workspace.factory(deployment.factories[0]), PIPELINE, {})
    status = work_on(session, run_id)
    seconds = time.monotonic() - began
    run, activities = pipeline_run(workspace, run_id), activity_runs(workspace, run_id)
    proof = measure(account, DATA, target_mb * 1024 * 1024) if status == "Succeeded" else None
    if session.as_json:
        document = run_document(run, activities)
        session.print_json({**document, "seconds": seconds, "proof": proof_json(proof) if proof else None})
    else:
        session.echo()
        show_run(session, run, activities)
        _show_logs(session, run_id)
        if proof is not None:
            show_proof(session, proof)
        session.echo(f"pipeline run {duration(seconds)}")
    return _verdict(session, status, proof)


class _Steps:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = 0

    def step(self, text: str) -> None:
        self.number += 1
        self.session.echo(click.style(f"\n{self.number}. {text}", bold=True), err=self.session.as_json)


def _upload(session: Session, account: StorageAccount, folder: Path, number: int) -> None:
    for used in ("input", "source", "target"):
        if account.stat(DATA, used) is not None:
            account.delete(DATA, used, recursive=True)
        account.make_folder(DATA, used)
    flights = folder / "data" / "flights.parquet"
    with Moving(session, [flights.stat().st_size] * number).shown() as moving:
        for index in range(number):
            moving.begin()
            upload(account, flights, DATA, f"input/flights{index + 1:04}.parq", moving)
        upload(account, folder / "splitparquet.py", SCRIPTS, "splitparquet.py", moving)
    total = number * flights.stat().st_size
    session.echo(f"{count(number)} x {flights.name}, {size(total)}", err=session.as_json)


def _show_logs(session: Session, run_id: str) -> None:
    from kyanite.runtime.logs import task_logs

    session.echo("\nWhat the task wrote")
    printer = LogPrinter(session)
    for log in task_logs(session.workspace(), run_id):
        printer(log.activity_run_id, f"{log.activity} {log.name}", log.text)


def _verdict(session: Session, status: str, proof: Proof | None) -> int:
    faults = proof.faults() if proof is not None else [f"the run {status}"]
    for fault in faults:
        session.echo(click.style("check failed: ", fg="red") + fault, err=True)
    if not faults and not session.as_json:
        session.echo(click.style("all checks passed", fg="green") + ": no row lost, no part larger than the target")
    return 1 if faults else 0
