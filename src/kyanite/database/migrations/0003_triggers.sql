-- Triggers. One that was never started has no row and is Stopped. Factory and trigger are case-folded names; times are
-- UTC, ISO, six fraction digits.

CREATE TABLE triggers (
    factory    TEXT NOT NULL,
    name       TEXT NOT NULL,
    state      TEXT NOT NULL,             -- Started, Stopped
    definition TEXT NOT NULL,             -- hash of what was started: a trigger that was changed since is Stopped
    since      TEXT NOT NULL,             -- when it was last started or stopped
    done_until TEXT NOT NULL,             -- schedules: no fire at or before this time is made any more
    PRIMARY KEY (factory, name)
) WITHOUT ROWID;

CREATE TABLE trigger_runs (
    number         INTEGER PRIMARY KEY,   -- grows with each creation: the order of lists and pages
    trigger_run_id TEXT NOT NULL UNIQUE,  -- follows from trigger and fire time, window or event: no second one is made
    factory        TEXT NOT NULL,
    trigger_key    TEXT NOT NULL,
    name           TEXT NOT NULL,         -- the trigger's name as it is spelled
    type           TEXT NOT NULL,
    fired_at       TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    status         TEXT NOT NULL,         -- Waiting, Inprogress, Succeeded, Failed, Canceled
    message        TEXT NOT NULL,         -- sealed
    properties     TEXT NOT NULL,         -- sealed JSON
    pipelines      TEXT NOT NULL,         -- JSON: pipeline -> id of its newest run
    window_start   TEXT,                  -- tumbling windows only, from here on
    window_end     TEXT,
    attempt        INTEGER NOT NULL DEFAULT 0,  -- pipeline runs made since the last rerun
    reruns         INTEGER NOT NULL DEFAULT 0,
    waiting_since  TEXT,
    not_before     TEXT,                  -- a retry waits until then
    unmet          TEXT NOT NULL DEFAULT '[]'   -- JSON: the windows it waits for
);

CREATE UNIQUE INDEX trigger_windows ON trigger_runs (factory, trigger_key, window_start) WHERE window_start IS NOT NULL;

CREATE INDEX trigger_windows_open ON trigger_runs (factory, trigger_key, window_start)
WHERE status IN ('Waiting', 'Inprogress');

CREATE INDEX trigger_runs_by_time ON trigger_runs (updated_at);
