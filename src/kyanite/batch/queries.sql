-- name: put_account
INSERT INTO batch_accounts (key, name, location) VALUES (:key, :name, :location) ON CONFLICT DO NOTHING

-- name: accounts
SELECT * FROM batch_accounts ORDER BY key

-- name: put_pool
INSERT INTO batch_pools (account, key, spec, start_version, created_at)
VALUES (:account, :key, :spec, :start_version, :created_at)
ON CONFLICT (account, key) DO UPDATE SET spec = excluded.spec, start_version = excluded.start_version

-- name: pools
SELECT * FROM batch_pools WHERE account = :account ORDER BY key

-- name: pool
SELECT * FROM batch_pools WHERE account = :account AND key = :key

-- name: nodes
SELECT n.*, (SELECT COALESCE(SUM(a.slots), 0) FROM batch_attempts a
             WHERE a.account = n.account AND a.pool = n.pool AND a.node = n.id AND a.kind = 'task'
               AND a.ended_at IS NULL) AS used,
       (SELECT MAX(a.id) FROM batch_attempts a
        WHERE a.account = n.account AND a.pool = n.pool AND a.node = n.id AND a.kind = 'start'
          AND a.ended_at IS NULL) AS starting
FROM batch_nodes n WHERE n.account = :account AND n.pool = :pool ORDER BY n.number

-- name: add_node
INSERT INTO batch_nodes (account, pool, number, id, state, since)
VALUES (:account, :pool, :number, :id, 'creating', :at)

-- name: keep_node
UPDATE batch_nodes SET leaving = :leaving WHERE account = :account AND pool = :pool AND id = :id

-- name: drop_node
DELETE FROM batch_nodes WHERE account = :account AND pool = :pool AND id = :id AND leaving = 1

-- name: move_node
UPDATE batch_nodes SET state = :state, since = :at, start_version = :version, start_info = :info,
       start_retries = :retries, start_losses = :losses
WHERE account = :account AND pool = :pool AND id = :id

-- name: reset_failed_nodes
UPDATE batch_nodes SET state = 'creating', since = :at, start_retries = 0, start_losses = 0
WHERE account = :account AND pool = :pool AND state = 'starttaskfailed'

-- name: put_job
INSERT INTO batch_jobs (account, key, id, pool, pool_id, priority, max_parallel, environment, created_at)
VALUES (:account, :key, :id, :pool, :pool_id, :priority, :max_parallel, :environment, :created_at)
ON CONFLICT DO NOTHING

-- name: job
SELECT * FROM batch_jobs WHERE account = :account AND key = :key

-- name: jobs
SELECT * FROM batch_jobs WHERE account = :account ORDER BY created_at, key

-- name: set_job_priority
UPDATE batch_jobs SET priority = :priority WHERE account = :account AND key = :key

-- name: put_task
INSERT INTO batch_tasks (account, job, key, id, pool, spec, slots, state, state_since, created_at)
VALUES (:account, :job, :key, :id, :pool, :spec, :slots, 'active', :at, :at)
ON CONFLICT DO NOTHING

-- name: task
SELECT t.*, j.id AS job_id, j.pool_id FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.account = :account AND t.job = :job AND t.key = :key AND t.deleted = 0

-- name: task_by_sequence
SELECT t.*, j.id AS job_id, j.pool_id FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.sequence = :sequence

-- name: tasks
SELECT t.*, j.id AS job_id, j.pool_id FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.account = :account AND t.job = :job AND t.deleted = 0 ORDER BY t.sequence

-- name: move_task
UPDATE batch_tasks SET state = :state, state_since = :state_since, attempt = :attempt, node = :node,
       start_time = :start_time, end_time = :end_time, exit_code = :exit_code, result = :result, failure = :failure,
       retry_count = :retry_count, requeue_count = :requeue_count, loss_count = :loss_count,
       remove_at = CASE WHEN deleted = 1 AND :remove_at IS NOT NULL THEN :state_since ELSE :remove_at END
WHERE sequence = :sequence AND state = :from_state AND attempt = :from_attempt

-- name: request_stop
UPDATE batch_tasks SET stop_reason = COALESCE(stop_reason, :reason), deleted = MAX(deleted, :deleted),
       remove_at = CASE WHEN :deleted = 1 AND state = 'completed' THEN :at ELSE remove_at END,
       files_removed = CASE WHEN :deleted = 1 THEN 0 ELSE files_removed END
WHERE sequence = :sequence

-- name: drop_task
DELETE FROM batch_tasks WHERE sequence = :sequence

-- name: drop_attempts
DELETE FROM batch_attempts WHERE task = :sequence

-- name: waiting_pools
SELECT DISTINCT account, pool FROM batch_tasks WHERE state = 'active'

-- name: waiting_jobs
SELECT j.key, j.priority, j.max_parallel,
       (SELECT COUNT(*) FROM batch_attempts a WHERE a.account = j.account AND a.pool = j.pool AND a.job = j.key
        AND a.ended_at IS NULL) AS running
FROM batch_jobs j WHERE j.account = :account AND j.pool = :pool
 AND EXISTS (SELECT 1 FROM batch_tasks t WHERE t.account = j.account AND t.pool = j.pool AND t.job = j.key
             AND t.state = 'active')

-- name: waiting_tasks
SELECT sequence, slots FROM batch_tasks WHERE account = :account AND pool = :pool AND job = :job AND state = 'active'
 AND slots <= :widest ORDER BY sequence LIMIT :most

-- name: open_attempt
INSERT INTO batch_attempts (kind, account, pool, node, task, job, number, slots, launcher, launched_at)
VALUES (:kind, :account, :pool, :node, :task, :job, :number, :slots, :launcher, :at)

-- name: new_attempt
SELECT last_insert_rowid() AS id

-- name: close_attempt
UPDATE batch_attempts SET ended_at = :at, ending = :ending WHERE id = :id AND ended_at IS NULL

-- name: open_attempts
SELECT * FROM batch_attempts INDEXED BY batch_attempts_open WHERE ended_at IS NULL ORDER BY id

-- name: open_attempt_of_task
SELECT * FROM batch_attempts WHERE task = :sequence AND ended_at IS NULL

-- name: attempts_of_task
SELECT * FROM batch_attempts WHERE task = :sequence ORDER BY id

-- name: starting_in_pool
SELECT COUNT(*) AS n FROM batch_attempts WHERE account = :account AND pool = :pool AND kind = 'start'
 AND ended_at IS NULL

-- name: files_to_remove
SELECT t.*, j.id AS job_id, j.pool_id FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.state = 'completed' AND t.remove_at <= :at AND t.files_removed = 0 LIMIT 1000

-- name: files_removed
UPDATE batch_tasks SET files_removed = 1 WHERE sequence = :sequence

-- name: remove_later
UPDATE batch_tasks SET remove_at = :at WHERE sequence = :sequence
