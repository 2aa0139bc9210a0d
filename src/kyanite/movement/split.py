"""The splitter over any address: parquet files in, equal parts of at most a size out, all of them or none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kyanite.connections import Connection, open_url
from kyanite.errors import ConflictError
from kyanite.movement.part_names import NAME_TEMPLATE, PartNaming, parse_size
from kyanite.movement.split_inputs import InputFile, find_inputs
from kyanite.movement.split_leavings import tidy
from kyanite.movement.split_manifest import MANIFEST, Manifest, ManifestPart, input_document, read_manifest
from kyanite.movement.split_model import (
    PREFIX,
    Options,
    Progress,
    SplitPart,
    SplitProgress,
    SplitResult,
    options,
)
from kyanite.movement.split_names import Namings, prefixes_of
from kyanite.movement.split_publish import PartSet, Present, look, part_set
from kyanite.movement.split_run import Counts, Ran, RanPart, plan_group, run_group
from kyanite.movement.split_schema import fingerprint, have_one_schema
from kyanite.storage.model import join

if TYPE_CHECKING:
    from kyanite.storage import StorageAccounts

Address = str | os.PathLike[str]


def split(
    inputs: Address | Sequence[Address],
    output: Address,
    *,
    max_size: int | str | None = None,
    parts: int | None = None,
    rows: int | None = None,
    merge: bool | None = None,
    prefix: str | None = None,
    name_template: str = NAME_TEMPLATE,
    verify: str = "fast",
    checksum: str = "fast",
    overwrite: bool = False,
    if_changed: bool = False,
    workers: int | None = None,
    sync: bool = False,
    dry_run: bool = False,
    home: Address | None = None,
    credential: str | None = None,
    progress: Progress | None = None,
) -> SplitResult:
    """Split parquet files into equal parts in the folder `output`, rows in order, none lost.

    Give one of `max_size` (bytes or text: `100MB` is 10^8, `100MiB` is 100 x 2^20), `parts` (their number) and `rows`
    (of a part). Inputs are files, folders (every .parquet, .parq and .pq file below, by path) or paths with `*`, `?`
    and `**`; addresses as `open_url` knows them, accounts of the workspace `home` (default: KYANITE_HOME, else
    ./.kyanite) under their Azure names.

    `merge`: all inputs become one sequence of parts named after `prefix`; False: each input becomes parts named after
    its file; None: merge when the schemas are equal. A manifest, `_kyanite_split.json`, is written last and names the
    parts. A folder that holds a set already raises ConflictError, unless the set is that of the same inputs and options
    (then nothing is done, `up_to_date`); `overwrite` replaces that set, with `if_changed` only when it would differ.
    `dry_run` writes nothing and tells the parts as planned. `verify` is `fast`, `deep` (every value) or `none`.
    A kill at any moment leaves the old set or the new one. `sync` waits until the disk has the parts, as is always done
    for those that replace others: without it a power cut just afterwards may cut them, and errors that the disk has
    only then are not noticed.

    `workers` parts are written at the same time, by default one for each processor (up to 4) where inputs and output
    are on this machine and 32 MB or more: by copies of this process on Linux while it has one thread, else by itself.
    """
    began = time.monotonic()
    chosen = options(
        max_size=max_size, parts=parts, rows=rows, merge=merge, prefix=prefix, name_template=name_template,
        verify=verify, checksum=checksum, workers=workers, sync=sync,
    )  # fmt: skip
    job = _job(inputs, output, chosen, home, credential)
    if dry_run:
        return _planned(job, began)
    before = tidy(job.target, job.folder)
    if before is not None and (if_changed or not overwrite) and _is_current(job, before):
        return _result(job, before, None, began)
    present = look(job.target, job.folder, job.namings, before)
    if not overwrite:
        _refuse_existing(job, present)
    _refuse_own_parts(job, present)
    with part_set(job.target, job.folder, present, job.namings, is_synced=chosen.sync) as files:
        ran = _run(job, files, progress)
        for file in job.files:
            file.check_unchanged()
        manifest = _manifest(job, ran)
        files.publish(manifest)
    return _result(job, manifest, ran, began)


class _Job(NamedTuple):
    """A call resolved: files read, target opened; `groups` are the files that become one sequence of parts each."""

    options: Options
    files: tuple[InputFile, ...]
    groups: tuple[tuple[InputFile, ...], ...]
    namings: Namings
    target: Connection
    folder: str

    @property
    def merged(self) -> bool:
        return len(self.groups) == 1

    @property
    def bytes_in(self) -> int:
        return sum(file.entry.size for file in self.files)

    def url(self, name: str) -> str:
        return self.target.url(join(self.folder, name))


def _job(
    inputs: Address | Sequence[Address],
    output: Address,
    chosen: Options,
    home: Address | None,
    credential: str | None,
) -> _Job:
    accounts = _accounts(home)
    target, folder = open_url(os.fspath(output), accounts, credential)
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    files = find_inputs([os.fspath(one) for one in given], accounts, credential)
    merged = chosen.merge is not False or len(files) == 1
    if merged and len(files) > 1:
        merged = have_one_schema(files, chosen.merge)
    if merged:
        return _Job(chosen, files, (files,), Namings([chosen.prefix or PREFIX], chosen.name_template), target, folder)
    prefixes = prefixes_of([file.entry.path for file in files], chosen.prefix)
    groups = tuple((file,) for file in files)
    return _Job(chosen, files, groups, Namings(prefixes, chosen.name_template), target, folder)


def _accounts(home: Address | None) -> StorageAccounts | None:
    """The accounts of a workspace; None when there is none."""
    folder = Path(home or os.environ.get("KYANITE_HOME") or ".kyanite")
    if not folder.is_dir():
        return None
    from kyanite.secrets import Vault
    from kyanite.storage import StorageAccounts

    return StorageAccounts(folder / "storage", Vault(folder / "secrets.json"))


def _is_current(job: _Job, before: Manifest) -> bool:
    """Whether the set there was made of the same inputs with the same options, and all its files are whole."""
    inputs = tuple(input_document(file) for file in job.files)
    if before.options != job.options.document() or before.inputs != inputs:
        return False
    found = {entry.name: entry.size for entry in job.target.list(job.folder, recursive=False)}
    return all(found.get(part.name) == part.bytes for part in before.parts)


def _refuse_existing(job: _Job, present: Present) -> None:
    cure = "Allow overwriting (`--overwrite`), or name another folder."
    if present.manifest is not None:
        count = len(present.manifest.parts)
        raise ConflictError(f"The folder holds the {count:,} parts of another split.", where=job.url(""), cure=cure)
    for name in sorted(present.old):
        raise ConflictError("The file exists, and a part may get its name.", where=job.url(name), cure=cure)


def _refuse_own_parts(job: _Job, present: Present) -> None:
    for file in job.files:
        own = file.url == job.url(file.entry.name)
        if own and (file.entry.name in present.old or job.namings.match(file.entry.name)):
            raise ConflictError(
                "The file is an input, and the parts of this split would replace it.",
                where=file.url,
                cure="Write to another folder, or with another prefix.",
            )


def _run(job: _Job, files: PartSet, progress: Progress | None) -> tuple[Ran, ...]:
    """Every group, one after the other, its progress added to what the groups before have done."""
    ran: list[Ran] = []
    done = Counts()
    for group, naming in zip(job.groups, job.namings.all, strict=True):
        one = run_group(group, naming, job.options, files, _added(progress, done, job.bytes_in))
        done = done + one.counts
        ran.append(one)
    return tuple(ran)


def _added(progress: Progress | None, done: Counts, total: int) -> Callable[[int, int, int], None]:
    def tell(rows: int, size: int, parts: int) -> None:
        if progress is not None:
            progress(SplitProgress(done.rows + rows, done.bytes + size, done.parts + parts, total))

    return tell


def _planned(job: _Job, began: float) -> SplitResult:
    """What a split would do; nothing is written and nothing is looked at but the inputs."""
    ran = tuple(
        plan_group(group, naming, job.options) for group, naming in zip(job.groups, job.namings.all, strict=True)
    )
    return _result(job, _manifest(job, ran, planned=True), ran, began, planned=True)


def _manifest(job: _Job, ran: Sequence[Ran], *, planned: bool = False) -> Manifest:
    parts = [
        ManifestPart(
            part.name, part.rows, part.bytes, part.first_row,
            checksum=part.checksum, oversize=part.oversize, input=None if job.merged else number,
        )
        for number, one in enumerate(ran)
        for part in one.parts
    ]  # fmt: skip
    schemas = () if planned else tuple(fingerprint(one.columns) for one in ran)
    inputs = tuple(input_document(file) for file in job.files)
    return Manifest(job.options.document(), inputs, tuple(parts), schemas)


def _result(
    job: _Job, manifest: Manifest, ran: Sequence[Ran] | None, began: float, *, planned: bool = False
) -> SplitResult:
    counts = sum((one.counts for one in ran or ()), Counts())
    made = {part.name: part for one in ran or () for part in one.parts}
    known = ran is not None
    return SplitResult(
        parts=tuple(_part(job, part, made.get(part.name)) for part in manifest.parts),
        inputs=tuple(file.url for file in job.files),
        rows_in=counts.rows if known else manifest.rows,
        rows_out=manifest.rows,
        bytes_in=job.bytes_in,
        bytes_out=sum(part.bytes for part in manifest.parts),
        seconds=time.monotonic() - began,
        max_bytes=job.options.max_bytes,
        manifest=None if planned else job.url(MANIFEST),
        verified=job.options.verify if known and not planned else "none",
        bytes_raw=counts.raw if known else None,
        bytes_cut=counts.cut if known else None,
        bytes_rewritten=counts.rewritten if known and not planned else None,
        bytes_encoded=counts.encoded if known else None,
        merged=job.merged and len(job.files) > 1,
        dry_run=planned,
        up_to_date=not known,
    )


def _part(job: _Job, part: ManifestPart, made: RanPart | None) -> SplitPart:
    ways = (made.whole, made.cut, made.encoded) if made is not None else (None, None, None)
    return SplitPart(
        part.name, job.url(part.name), part.rows, part.bytes, part.first_row,
        part.oversize, part.checksum, part.input, *ways,
    )  # fmt: skip


__all__ = [
    "Manifest",
    "PartNaming",
    "SplitPart",
    "SplitProgress",
    "SplitResult",
    "parse_size",
    "read_manifest",
    "split",
]
