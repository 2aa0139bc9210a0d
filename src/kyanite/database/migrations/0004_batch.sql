-- The whole of the Batch service: states of pools and jobs, dependencies, schedules, applications.
-- Columns with a default keep the meaning of what older versions wrote. Durable pointers to work: `attention`, `due_at`.
ALTER TABLE batch_pools ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
ALTER TABLE batch_pools ADD COLUMN state_since TEXT;
ALTER TABLE batch_pools ADD COLUMN allocation TEXT NOT NULL DEFAULT 'steady';
ALTER TABLE batch_pools ADD COLUMN allocation_since TEXT;
ALTER TABLE batch_pools ADD COLUMN resize_by TEXT;
ALTER TABLE batch_pools ADD COLUMN resize_errors TEXT NOT NULL DEFAULT '[]';
ALTER TABLE batch_pools ADD COLUMN deallocation TEXT NOT NULL DEFAULT 'requeue';
ALTER TABLE batch_pools ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch_pools ADD COLUMN modified_at TEXT;
ALTER TABLE batch_pools ADD COLUMN autoscale_enabled_at TEXT;
ALTER TABLE batch_pools ADD COLUMN auto_for TEXT;
CREATE INDEX batch_pools_changing ON batch_pools (account, key) WHERE allocation <> 'steady' OR state <> 'active';

ALTER TABLE batch_nodes ADD COLUMN dedicated INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch_nodes ADD COLUMN scheduling TEXT NOT NULL DEFAULT 'enabled';
ALTER TABLE batch_nodes ADD COLUMN deallocation TEXT;
ALTER TABLE batch_nodes ADD COLUMN wanted TEXT;
ALTER TABLE batch_nodes ADD COLUMN wanted_option TEXT;
ALTER TABLE batch_nodes ADD COLUMN allocated_at TEXT;
ALTER TABLE batch_nodes ADD COLUMN booted_at TEXT;
ALTER TABLE batch_nodes ADD COLUMN tasks_run INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_nodes ADD COLUMN tasks_succeeded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_nodes ADD COLUMN errors TEXT;

ALTER TABLE batch_jobs ADD COLUMN document TEXT;
ALTER TABLE batch_jobs ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
ALTER TABLE batch_jobs ADD COLUMN state_since TEXT;
ALTER TABLE batch_jobs ADD COLUMN previous_state TEXT;
ALTER TABLE batch_jobs ADD COLUMN previous_since TEXT;
ALTER TABLE batch_jobs ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch_jobs ADD COLUMN modified_at TEXT;
ALTER TABLE batch_jobs ADD COLUMN end_time TEXT;
ALTER TABLE batch_jobs ADD COLUMN terminate_reason TEXT;
ALTER TABLE batch_jobs ADD COLUMN scheduling_error TEXT;
ALTER TABLE batch_jobs ADD COLUMN disable_option TEXT NOT NULL DEFAULT 'requeue';
ALTER TABLE batch_jobs ADD COLUMN uses_dependencies INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_jobs ADD COLUMN on_all_complete TEXT NOT NULL DEFAULT 'noaction';
ALTER TABLE batch_jobs ADD COLUMN on_failure TEXT NOT NULL DEFAULT 'noaction';
ALTER TABLE batch_jobs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_jobs ADD COLUMN deadline TEXT;
ALTER TABLE batch_jobs ADD COLUMN manager TEXT;
ALTER TABLE batch_jobs ADD COLUMN prepares INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_jobs ADD COLUMN schedule TEXT;
ALTER TABLE batch_jobs ADD COLUMN auto_pool INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_jobs ADD COLUMN action TEXT;
ALTER TABLE batch_jobs ADD COLUMN attention INTEGER NOT NULL DEFAULT 0;
CREATE INDEX batch_jobs_attention ON batch_jobs (account, key) WHERE attention = 1;
CREATE INDEX batch_jobs_deadline ON batch_jobs (deadline) WHERE deadline IS NOT NULL AND end_time IS NULL;
CREATE INDEX batch_jobs_dropping ON batch_jobs (account, key) WHERE state = 'deleting';
CREATE INDEX batch_jobs_active ON batch_jobs (account, pool, key) WHERE state = 'active';
CREATE INDEX batch_jobs_schedule ON batch_jobs (account, schedule, key) WHERE schedule IS NOT NULL;

ALTER TABLE batch_tasks ADD COLUMN previous_state TEXT;
ALTER TABLE batch_tasks ADD COLUMN previous_since TEXT;
ALTER TABLE batch_tasks ADD COLUMN last_retry TEXT;
ALTER TABLE batch_tasks ADD COLUMN last_requeue TEXT;
ALTER TABLE batch_tasks ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch_tasks ADD COLUMN modified_at TEXT;
ALTER TABLE batch_tasks ADD COLUMN unmet INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_tasks ADD COLUMN rank INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch_tasks ADD COLUMN satisfied INTEGER;
ALTER TABLE batch_tasks ADD COLUMN affinity TEXT;
DROP INDEX batch_tasks_waiting;
-- what may start: the job manager first, then first come first served
CREATE INDEX batch_tasks_ready ON batch_tasks (account, pool, job, rank, sequence) WHERE state = 'active' AND unmet = 0;
CREATE INDEX batch_tasks_listed ON batch_tasks (account, job, sequence) WHERE deleted = 0;
CREATE INDEX batch_tasks_counted ON batch_tasks (account, job, state, deleted, result, slots);

ALTER TABLE batch_attempts ADD COLUMN stop INTEGER NOT NULL DEFAULT 0;
CREATE INDEX batch_attempts_stop ON batch_attempts (id) WHERE stop = 1 AND ended_at IS NULL;
CREATE INDEX batch_attempts_job ON batch_attempts (account, job) WHERE ended_at IS NULL;
CREATE INDEX batch_attempts_of_jobs ON batch_attempts (account, job, kind) WHERE kind IN ('prep', 'release');
CREATE INDEX batch_attempts_node ON batch_attempts (account, pool, node, id) WHERE kind = 'task';

-- What tasks wait for: `=id` or a block of integers `#level:number`; met when nothing remains.
CREATE TABLE batch_dependencies (
    account TEXT NOT NULL,
    job TEXT NOT NULL,
    needs TEXT NOT NULL,
    dependent INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    PRIMARY KEY (account, job, needs, dependent)
) WITHOUT ROWID;
CREATE INDEX batch_dependencies_dependent ON batch_dependencies (dependent);

CREATE TABLE batch_satisfied (
    account TEXT NOT NULL,
    job TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (account, job, number)
) WITHOUT ROWID;

-- Where a job's preparation ran (or runs), and its release.
CREATE TABLE batch_job_nodes (
    account TEXT NOT NULL,
    job TEXT NOT NULL,
    pool TEXT NOT NULL,
    node TEXT NOT NULL,
    prep_state TEXT NOT NULL,
    prep TEXT,
    prep_retries INTEGER NOT NULL DEFAULT 0,
    prep_losses INTEGER NOT NULL DEFAULT 0,
    release_state TEXT,
    release TEXT,
    PRIMARY KEY (account, job, pool, node)
) WITHOUT ROWID;

CREATE TABLE batch_schedules (
    account TEXT NOT NULL REFERENCES batch_accounts(key),
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'active',
    state_since TEXT,
    previous_state TEXT,
    previous_since TEXT,
    version INTEGER NOT NULL DEFAULT 1,
    modified_at TEXT,
    next_run TEXT,
    recent_job TEXT,
    jobs INTEGER NOT NULL DEFAULT 0,
    end_time TEXT,
    auto_pool TEXT,
    attention INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;
CREATE INDEX batch_schedules_attention ON batch_schedules (account, key) WHERE attention = 1;
CREATE INDEX batch_schedules_due ON batch_schedules (next_run) WHERE next_run IS NOT NULL AND state = 'active';

CREATE TABLE batch_applications (
    account TEXT NOT NULL REFERENCES batch_accounts(key),
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    display_name TEXT,
    default_version TEXT,
    allow_updates INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    modified_at TEXT NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE batch_packages (
    account TEXT NOT NULL,
    application TEXT NOT NULL,
    version_key TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    format TEXT,
    digest TEXT,
    size INTEGER,
    created_at TEXT NOT NULL,
    activated_at TEXT,
    PRIMARY KEY (account, application, version_key),
    FOREIGN KEY (account, application) REFERENCES batch_applications(account, key)
) WITHOUT ROWID;
