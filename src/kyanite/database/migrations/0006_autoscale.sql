-- What autoscale formulas are evaluated on, and what their evaluations said. Times are UTC text, keys case-folded ids.
-- `slot` numbers the sampling periods since 1970, so that two processes never sample one period twice.
CREATE TABLE batch_samples (
    account TEXT NOT NULL,
    pool TEXT NOT NULL,
    slot INTEGER NOT NULL,
    at TEXT NOT NULL,
    metrics TEXT NOT NULL,
    PRIMARY KEY (account, pool, slot)
) WITHOUT ROWID;

CREATE TABLE batch_autoscale (
    account TEXT NOT NULL,
    pool TEXT NOT NULL,
    due_at TEXT NOT NULL,
    PRIMARY KEY (account, pool)
) WITHOUT ROWID;

CREATE TABLE batch_autoscale_runs (
    account TEXT NOT NULL,
    pool TEXT NOT NULL,
    at TEXT NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (account, pool, at)
) WITHOUT ROWID;
