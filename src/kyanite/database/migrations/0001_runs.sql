-- Runs: `runs` is the projection that lists are answered from, `events` the log it is folded from.
-- The row that every append rewrites stays small: what never changes is in `headers`.

CREATE TABLE runs (
    number        INTEGER PRIMARY KEY,   -- grows with each creation: the order of lists and pages
    run_id        TEXT NOT NULL UNIQUE,
    factory       TEXT NOT NULL,
    pipeline      TEXT NOT NULL,
    status        TEXT NOT NULL,
    version       INTEGER NOT NULL,      -- sequence number of the newest event
    queued_at     TEXT NOT NULL,         -- UTC, ISO, six fraction digits, so that text order is time order
    started_at    TEXT,
    ended_at      TEXT,
    updated_at    TEXT NOT NULL,
    message       TEXT NOT NULL,         -- sealed
    group_id      TEXT NOT NULL,
    parent_run_id TEXT,
    snapshot      TEXT,
    lease_token   INTEGER NOT NULL DEFAULT 0,
    lease_owner   TEXT,                  -- JSON list: host, boot, pid, start of the process
    lease_until   REAL NOT NULL DEFAULT 0
);

CREATE INDEX runs_by_group ON runs (group_id, number);

CREATE INDEX runs_by_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE INDEX runs_by_snapshot ON runs (snapshot) WHERE snapshot IS NOT NULL;

CREATE TABLE headers (
    run_id TEXT PRIMARY KEY REFERENCES runs (run_id),
    body   TEXT NOT NULL                 -- sealed JSON: parameters, invokedBy, annotations, runDimensions
) WITHOUT ROWID;

CREATE TABLE events (
    run_id TEXT NOT NULL REFERENCES runs (run_id),
    seq    INTEGER NOT NULL,             -- 1, 2, 3, ... without a gap
    at     TEXT NOT NULL,
    kind   TEXT NOT NULL,
    body   TEXT NOT NULL,                -- sealed JSON
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;

CREATE TABLE snapshots (
    hash    TEXT PRIMARY KEY,            -- SHA-256 of the body
    used_at TEXT NOT NULL,               -- about when it was last asked for: a run may be on its way
    body    TEXT NOT NULL                -- sealed JSON
) WITHOUT ROWID;
