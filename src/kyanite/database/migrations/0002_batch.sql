-- The batch service. A key is the case-folded id; the id keeps its spelling. Times are UTC text. Bodies are sealed.
CREATE TABLE batch_accounts (
    key TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    location TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE batch_pools (
    account TEXT NOT NULL REFERENCES batch_accounts(key),
    key TEXT NOT NULL,
    spec TEXT NOT NULL,
    start_version TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE batch_nodes (
    account TEXT NOT NULL,
    pool TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    since TEXT NOT NULL,
    leaving INTEGER NOT NULL DEFAULT 0,
    start_version TEXT,
    start_info TEXT,
    start_retries INTEGER NOT NULL DEFAULT 0,
    start_losses INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, pool, id),
    FOREIGN KEY (account, pool) REFERENCES batch_pools(account, key)
) WITHOUT ROWID;

CREATE TABLE batch_jobs (
    account TEXT NOT NULL REFERENCES batch_accounts(key),
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    pool TEXT NOT NULL,
    pool_id TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    max_parallel INTEGER NOT NULL DEFAULT -1,
    environment TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE batch_tasks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    job TEXT NOT NULL,
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    pool TEXT NOT NULL,
    spec TEXT NOT NULL,
    slots INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_since TEXT NOT NULL,
    created_at TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    node TEXT,
    start_time TEXT,
    end_time TEXT,
    exit_code INTEGER,
    result TEXT,
    failure TEXT,
    retry_count INTEGER NOT NULL DEFAULT 0,
    requeue_count INTEGER NOT NULL DEFAULT 0,
    loss_count INTEGER NOT NULL DEFAULT 0,
    stop_reason TEXT,
    remove_at TEXT,
    files_removed INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, job, key),
    FOREIGN KEY (account, job) REFERENCES batch_jobs(account, key)
);
CREATE INDEX batch_tasks_waiting ON batch_tasks (account, pool, job, sequence) WHERE state = 'active';
CREATE INDEX batch_tasks_kept ON batch_tasks (remove_at) WHERE remove_at IS NOT NULL AND files_removed = 0;

-- One row per launch of a task or start task, written before anything is started. An open row holds its slots.
CREATE TABLE batch_attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    pool TEXT NOT NULL,
    node TEXT NOT NULL,
    task INTEGER,
    job TEXT,
    number INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    launcher TEXT NOT NULL,
    launched_at TEXT NOT NULL,
    ended_at TEXT,
    ending TEXT
);
CREATE INDEX batch_attempts_open ON batch_attempts (account, pool, node) WHERE ended_at IS NULL;
CREATE INDEX batch_attempts_task ON batch_attempts (task) WHERE task IS NOT NULL;
