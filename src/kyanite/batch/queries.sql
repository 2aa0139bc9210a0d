-- name: put_account
INSERT INTO batch_accounts (key, name, location) VALUES (:key, :name, :location) ON CONFLICT DO NOTHING

-- name: accounts
SELECT * FROM batch_accounts ORDER BY key

-- name: put_pool
INSERT INTO batch_pools (account, key, spec, start_version, created_at, modified_at, state_since, allocation_since)
VALUES (:account, :key, :spec, :start_version, :at, :at, :at, :at)
ON CONFLICT (account, key) DO UPDATE SET spec = excluded.spec, start_version = excluded.start_version,
       version = version + 1, modified_at = :at

-- name: pools
SELECT p.*, (SELECT COUNT(*) FROM batch_nodes n WHERE n.account = p.account AND n.pool = p.key AND n.dedicated = 1)
       AS dedicated,
       (SELECT COUNT(*) FROM batch_nodes n WHERE n.account = p.account AND n.pool = p.key AND n.dedicated = 0)
       AS low_priority
FROM batch_pools p WHERE p.account = :account AND p.key > :after ORDER BY p.key LIMIT :limit

-- name: pool
SELECT p.*, (SELECT COUNT(*) FROM batch_nodes n WHERE n.account = p.account AND n.pool = p.key AND n.dedicated = 1)
       AS dedicated,
       (SELECT COUNT(*) FROM batch_nodes n WHERE n.account = p.account AND n.pool = p.key AND n.dedicated = 0)
       AS low_priority
FROM batch_pools p WHERE p.account = :account AND p.key = :key

-- name: nodes
SELECT n.*, (SELECT COALESCE(SUM(a.slots), 0) FROM batch_attempts a INDEXED BY batch_attempts_open
             WHERE a.account = n.account AND a.pool = n.pool AND a.node = n.id AND a.kind = 'task'
               AND a.ended_at IS NULL) AS used,
       (SELECT COUNT(*) FROM batch_attempts a INDEXED BY batch_attempts_open
        WHERE a.account = n.account AND a.pool = n.pool AND a.node = n.id AND a.kind = 'task'
          AND a.ended_at IS NULL) AS running,
       (SELECT MAX(a.id) FROM batch_attempts a INDEXED BY batch_attempts_open
        WHERE a.account = n.account AND a.pool = n.pool AND a.node = n.id AND a.kind = 'start'
          AND a.ended_at IS NULL) AS starting
FROM batch_nodes n WHERE n.account = :account AND n.pool = :pool ORDER BY n.number

-- name: add_node
INSERT INTO batch_nodes (account, pool, number, id, state, since, dedicated, allocated_at)
VALUES (:account, :pool, :number, :id, 'creating', :at, :dedicated, :at)

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
INSERT INTO batch_jobs (account, key, id, pool, pool_id, priority, max_parallel, environment, document, created_at, modified_at,
                        uses_dependencies, on_all_complete, on_failure, retries, deadline, manager, prepares, schedule,
                        auto_pool, state, state_since, previous_state, previous_since, end_time, terminate_reason,
                        scheduling_error, disable_option, attention)
VALUES (:account, :key, :id, :pool, :pool_id, :priority, :max_parallel, :environment, :document, :created_at, :modified_at,
        :uses_dependencies, :on_all_complete, :on_failure, :retries, :deadline, :manager, :prepares, :schedule,
        :auto_pool, :state, :state_since, :previous_state, :previous_since, :end_time, :terminate_reason,
        :scheduling_error, :disable_option, 1)
ON CONFLICT DO NOTHING

-- name: job
SELECT * FROM batch_jobs WHERE account = :account AND key = :key

-- name: jobs
SELECT * FROM batch_jobs WHERE account = :account ORDER BY created_at, key

-- name: put_task
INSERT INTO batch_tasks (account, job, key, id, pool, spec, slots, rank, affinity, state, state_since, created_at)
VALUES (:account, :job, :key, :id, :pool, :spec, :slots, :rank, :affinity, 'active', :at, :at)
ON CONFLICT DO NOTHING

-- name: task
SELECT t.*, j.id AS job_id, j.pool_id FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.account = :account AND t.job = :job AND t.key = :key AND t.deleted = 0

-- name: task_by_sequence
SELECT t.*, j.id AS job_id, j.pool_id FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.sequence = :sequence

-- name: tasks
SELECT t.*, j.id AS job_id, j.pool_id FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.account = :account AND t.job = :job AND t.deleted = 0 AND t.sequence > :after AND (:state IS NULL OR t.state = :state)
      AND (:prefix = '' OR substr(t.key, 1, length(:prefix)) = :prefix) ORDER BY t.sequence LIMIT :limit

-- name: move_task
UPDATE batch_tasks SET state = :state, state_since = :state_since, previous_state = :previous_state,
       previous_since = :previous_since, attempt = :attempt, node = :node,
       start_time = :start_time, end_time = :end_time, exit_code = :exit_code, result = :result, failure = :failure,
       retry_count = :retry_count, requeue_count = :requeue_count, loss_count = :loss_count, last_retry = :last_retry,
       last_requeue = :last_requeue, version = :version, modified_at = :modified_at,
       stop_reason = CASE WHEN :state = 'active' THEN NULL ELSE stop_reason END,
       satisfied = CASE WHEN :state = 'completed' THEN satisfied ELSE NULL END,
       files_removed = CASE WHEN :state = 'completed' THEN files_removed ELSE 0 END,
       remove_at = CASE WHEN deleted = 1 AND :remove_at IS NOT NULL THEN :state_since ELSE :remove_at END
WHERE sequence = :sequence AND state = :from_state AND attempt = :from_attempt

-- name: request_stop
UPDATE batch_tasks SET stop_reason = CASE WHEN stop_reason = 'TaskEnded' THEN stop_reason ELSE :reason END,
       deleted = MAX(deleted, :deleted),
       remove_at = CASE WHEN :deleted = 1 AND state = 'completed' THEN :at ELSE remove_at END,
       files_removed = CASE WHEN :deleted = 1 THEN 0 ELSE files_removed END
WHERE sequence = :sequence

-- name: drop_task
DELETE FROM batch_tasks WHERE sequence = :sequence

-- name: drop_attempts
DELETE FROM batch_attempts WHERE task = :sequence

-- name: waiting_pools
SELECT DISTINCT j.account, j.pool FROM batch_jobs j INDEXED BY batch_jobs_active WHERE j.state = 'active'
 AND EXISTS (SELECT 1 FROM batch_tasks t INDEXED BY batch_tasks_ready
             WHERE t.account = j.account AND t.pool = j.pool AND t.job = j.key AND t.state = 'active' AND t.unmet = 0)

-- name: waiting_jobs
SELECT j.key, j.priority, j.max_parallel, j.manager, j.prepares,
       (SELECT COUNT(*) FROM batch_attempts a WHERE a.account = j.account AND a.job = j.key AND a.ended_at IS NULL
        AND a.kind = 'task') AS running
FROM batch_jobs j WHERE j.account = :account AND j.pool = :pool AND j.state = 'active'
 AND EXISTS (SELECT 1 FROM batch_tasks t INDEXED BY batch_tasks_ready
             WHERE t.account = j.account AND t.pool = j.pool AND t.job = j.key AND t.state = 'active' AND t.unmet = 0)

-- name: waiting_tasks
SELECT sequence, slots, rank, affinity FROM batch_tasks INDEXED BY batch_tasks_ready
WHERE account = :account AND pool = :pool AND job = :job AND state = 'active' AND unmet = 0 AND slots <= :widest
ORDER BY rank, sequence LIMIT :most

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

-- name: account
SELECT * FROM batch_accounts WHERE key = :key

-- name: move_pool
UPDATE batch_pools SET state = :state, state_since = :state_since, allocation = :allocation,
       allocation_since = :allocation_since, resize_by = :resize_by, resize_errors = :resize_errors,
       deallocation = :deallocation, auto_for = :auto_for
WHERE account = :account AND key = :key

-- name: changing_pools
SELECT account, key FROM batch_pools WHERE allocation <> 'steady' OR state <> 'active'

-- name: drop_pool
DELETE FROM batch_pools WHERE account = :account AND key = :key

-- name: last_node_number
SELECT COALESCE(MAX(number), -1) AS number FROM batch_nodes WHERE account = :account AND pool = :pool

-- name: leave_node
UPDATE batch_nodes SET leaving = 1, deallocation = :option
WHERE account = :account AND pool = :pool AND id = :id

-- name: keep_leaving_nodes
UPDATE batch_nodes SET leaving = 0, deallocation = NULL WHERE account = :account AND pool = :pool AND leaving = 1

-- name: want_of_node
UPDATE batch_nodes SET wanted = :wanted, wanted_option = :option
WHERE account = :account AND pool = :pool AND id = :id

-- name: set_scheduling
UPDATE batch_nodes SET scheduling = :scheduling WHERE account = :account AND pool = :pool AND id = :id

-- name: count_on_node
UPDATE batch_nodes SET tasks_run = tasks_run + 1, tasks_succeeded = tasks_succeeded + :succeeded
WHERE account = :account AND pool = :pool AND id = :node

-- name: recent_tasks
SELECT DISTINCT a.task, t.id, t.state, j.id AS job_id, t.job
FROM batch_attempts a JOIN batch_tasks t ON t.sequence = a.task JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE a.account = :account AND a.pool = :pool AND a.node = :node AND a.kind = 'task' AND t.deleted = 0
ORDER BY a.id DESC LIMIT :most

-- name: change_job
UPDATE batch_jobs SET pool = :pool, pool_id = :pool_id, priority = :priority, max_parallel = :max_parallel,
       environment = :environment, document = :document, modified_at = :modified_at, version = version + 1,
       uses_dependencies = :uses_dependencies, on_all_complete = :on_all_complete, on_failure = :on_failure,
       retries = :retries, deadline = :deadline, manager = :manager, prepares = :prepares, schedule = :schedule,
       auto_pool = :auto_pool, attention = 1
WHERE account = :account AND key = :key AND id = :id AND created_at = :created_at

-- name: move_job
UPDATE batch_jobs SET state = :state, state_since = :state_since, previous_state = :previous_state,
       previous_since = :previous_since, end_time = :end_time, terminate_reason = :terminate_reason,
       scheduling_error = :scheduling_error, disable_option = :disable_option, attention = :attention
WHERE account = :account AND key = :key

-- name: watch_job
UPDATE batch_jobs SET attention = 1, action = COALESCE(action, :action)
WHERE account = :account AND key = :job AND (attention = 0 OR action IS NOT :action)

-- name: job_watch
SELECT uses_dependencies, on_all_complete, on_failure, manager, state FROM batch_jobs
WHERE account = :account AND key = :job

-- name: jobs_by_id
SELECT * FROM batch_jobs WHERE account = :account AND key > :after ORDER BY key LIMIT :limit

-- name: jobs_to_look_at
SELECT account, key, action FROM batch_jobs WHERE attention = 1

-- name: looked_at
UPDATE batch_jobs SET attention = 0, action = NULL WHERE account = :account AND key = :key

-- name: jobs_over_time
SELECT account, key FROM batch_jobs WHERE deadline IS NOT NULL AND end_time IS NULL AND deadline <= :at
 AND state NOT IN ('terminating', 'completed', 'deleting')

-- name: active_jobs
SELECT (SELECT COUNT(*) FROM batch_jobs WHERE account = :account AND state <> 'completed')
 + (SELECT COUNT(*) FROM batch_schedules WHERE account = :account AND state <> 'completed') AS n

-- name: drop_job
DELETE FROM batch_jobs WHERE account = :account AND key = :job

-- name: drop_job_nodes
DELETE FROM batch_job_nodes WHERE account = :account AND job = :job

-- name: drop_job_dependencies
DELETE FROM batch_dependencies WHERE account = :account AND job = :job

-- name: drop_job_satisfied
DELETE FROM batch_satisfied WHERE account = :account AND job = :job

-- name: drop_job_attempts
DELETE FROM batch_attempts WHERE id IN
 (SELECT a.id FROM batch_tasks t JOIN batch_attempts a ON a.task = t.sequence WHERE t.account = :account AND t.job = :job)

-- name: drop_job_tasks
DELETE FROM batch_tasks WHERE account = :account AND job = :job

-- name: move_tasks_to_pool
UPDATE batch_tasks SET pool = :pool WHERE account = :account AND job = :job AND state = 'active'

-- name: task_sequence
SELECT sequence FROM batch_tasks WHERE account = :account AND job = :job AND key = :key

-- name: change_task
UPDATE batch_tasks SET spec = :spec, version = :version, modified_at = :modified_at WHERE sequence = :sequence

-- name: set_satisfied
UPDATE batch_tasks SET satisfied = :satisfied WHERE sequence = :sequence

-- name: put_dependency
INSERT INTO batch_dependencies (account, job, needs, dependent, remaining)
VALUES (:account, :job, :needs, :dependent, :remaining)

-- name: set_unmet
UPDATE batch_tasks SET unmet = :unmet WHERE sequence = :sequence

-- name: is_satisfied
SELECT 1 FROM batch_tasks WHERE account = :account AND job = :job AND key = :key AND satisfied = 1 AND deleted = 0

-- name: satisfied_between
SELECT COUNT(*) AS n FROM batch_satisfied
WHERE account = :account AND job = :job AND number BETWEEN :first AND :last

-- name: put_satisfied
INSERT INTO batch_satisfied (account, job, number) VALUES (:account, :job, :number) ON CONFLICT DO NOTHING

-- name: count_down
UPDATE batch_dependencies SET remaining = remaining - 1
WHERE account = :account AND job = :job AND needs = :needs AND remaining > 0

-- name: release_dependents
UPDATE batch_tasks SET unmet = unmet - 1 WHERE sequence IN
 (SELECT dependent FROM batch_dependencies WHERE account = :account AND job = :job AND needs = :needs AND remaining = 0)

-- name: drop_met
DELETE FROM batch_dependencies WHERE account = :account AND job = :job AND needs = :needs AND remaining = 0

-- name: drop_dependencies
DELETE FROM batch_dependencies WHERE dependent = :sequence

-- name: stops_wanted
SELECT * FROM batch_attempts WHERE stop = 1 AND ended_at IS NULL ORDER BY id

-- name: stop_told
UPDATE batch_attempts SET stop = 2 WHERE id = :id

-- name: stop_tasks_of_job
UPDATE batch_tasks SET stop_reason = CASE WHEN stop_reason = 'TaskEnded' THEN stop_reason ELSE :reason END
WHERE account = :account AND job = :job AND state IN ('running', 'preparing')

-- name: stop_attempts_of_job
UPDATE batch_attempts SET stop = 1 WHERE account = :account AND job = :job AND ended_at IS NULL AND stop = 0
 AND kind IN ('task', 'prep')

-- name: stop_tasks_on_node
UPDATE batch_tasks SET stop_reason = CASE WHEN stop_reason = 'TaskEnded' THEN stop_reason ELSE :reason END
WHERE sequence IN (SELECT task FROM batch_attempts INDEXED BY batch_attempts_open
                   WHERE account = :account AND pool = :pool AND node = :node AND kind = 'task' AND ended_at IS NULL)

-- name: stop_attempts_on_node
UPDATE batch_attempts INDEXED BY batch_attempts_open SET stop = 1
WHERE account = :account AND pool = :pool AND node = :node AND ended_at IS NULL AND stop = 0 AND kind = 'task'

-- name: open_tasks_of_job
SELECT COUNT(*) AS n FROM batch_tasks WHERE account = :account AND job = :job AND state IN ('running', 'preparing')

-- name: unfinished_tasks
SELECT (EXISTS (SELECT 1 FROM batch_tasks WHERE account = :account AND job = :job AND state = 'active' AND deleted = 0)
 OR EXISTS (SELECT 1 FROM batch_tasks WHERE account = :account AND job = :job AND state = 'preparing' AND deleted = 0)
 OR EXISTS (SELECT 1 FROM batch_tasks WHERE account = :account AND job = :job AND state = 'running' AND deleted = 0)) AS n

-- name: task_counts
SELECT state, result, COUNT(*) AS n, COALESCE(SUM(slots), 0) AS slots FROM batch_tasks INDEXED BY batch_tasks_counted
WHERE account = :account AND job = :job AND deleted = 0 GROUP BY state, result

-- name: job_node
SELECT * FROM batch_job_nodes WHERE account = :account AND job = :job AND pool = :pool AND node = :node

-- name: job_nodes
SELECT * FROM batch_job_nodes WHERE account = :account AND job = :job ORDER BY pool, node

-- name: put_job_node
INSERT INTO batch_job_nodes (account, job, pool, node, prep_state, prep, prep_retries, prep_losses, release_state, release)
VALUES (:account, :job, :pool, :node, :prep_state, :prep, :prep_retries, :prep_losses, :release_state, :release)
ON CONFLICT (account, job, pool, node) DO UPDATE SET prep_state = excluded.prep_state, prep = excluded.prep,
       prep_retries = excluded.prep_retries, prep_losses = excluded.prep_losses,
       release_state = excluded.release_state, release = excluded.release

-- name: releases_wanted
SELECT * FROM batch_job_nodes WHERE account = :account AND job = :job AND release_state = 'wanted'

-- name: want_releases
UPDATE batch_job_nodes SET release_state = 'wanted' WHERE account = :account AND job = :job AND release_state IS NULL
 AND EXISTS (SELECT 1 FROM batch_nodes n WHERE n.account = batch_job_nodes.account AND n.pool = batch_job_nodes.pool
             AND n.id = batch_job_nodes.node)

-- name: releases_left
SELECT COUNT(*) AS n FROM batch_job_nodes r WHERE r.account = :account AND r.job = :job
 AND r.release_state IN ('wanted', 'running')

-- name: schedule
SELECT * FROM batch_schedules WHERE account = :account AND key = :key

-- name: schedules
SELECT * FROM batch_schedules WHERE account = :account AND key > :after ORDER BY key LIMIT :limit

-- name: jobs_of_schedule
SELECT * FROM batch_jobs WHERE account = :account AND schedule = :schedule AND key > :after ORDER BY key LIMIT :limit

-- name: live_jobs_of_schedule
SELECT * FROM batch_jobs WHERE account = :account AND schedule = :schedule AND state <> 'completed'

-- name: put_schedule
INSERT INTO batch_schedules (account, key, id, document, created_at, state, state_since, previous_state, previous_since,
                             version, modified_at, next_run, recent_job, jobs, end_time, attention)
VALUES (:account, :key, :id, :document, :created_at, :state, :state_since, :previous_state, :previous_since,
        :version, :modified_at, :next_run, :recent_job, :jobs, :end_time, :attention)
ON CONFLICT (account, key) DO UPDATE SET document = excluded.document, state = excluded.state,
       state_since = excluded.state_since, previous_state = excluded.previous_state,
       previous_since = excluded.previous_since, version = excluded.version, modified_at = excluded.modified_at,
       next_run = excluded.next_run, recent_job = excluded.recent_job, jobs = excluded.jobs,
       end_time = excluded.end_time, attention = excluded.attention

-- name: schedules_due
SELECT account, key FROM batch_schedules WHERE attention = 1 OR (state = 'active' AND next_run IS NOT NULL AND next_run <= :at)

-- name: watch_schedule
UPDATE batch_schedules SET attention = 1 WHERE account = :account AND key = :key

-- name: drop_schedule
DELETE FROM batch_schedules WHERE account = :account AND key = :key

-- name: node_counts
SELECT n.pool, n.dedicated, n.state, n.leaving, n.scheduling, COUNT(*) AS n,
       EXISTS (SELECT 1 FROM batch_attempts a INDEXED BY batch_attempts_open WHERE a.account = n.account AND a.pool = n.pool AND a.node = n.id
               AND a.kind = 'task' AND a.ended_at IS NULL) AS busy
FROM batch_nodes n WHERE n.account = :account GROUP BY n.pool, n.dedicated, n.state, n.leaving, n.scheduling, busy

-- name: every_pool
SELECT account, key FROM batch_pools

-- name: pools_with_node_work
SELECT DISTINCT account, pool FROM batch_nodes WHERE leaving = 1 OR wanted IS NOT NULL

-- name: pools_to_prepare
SELECT DISTINCT account, pool FROM batch_nodes WHERE state = 'creating' AND leaving = 0

-- name: node_kept_until
SELECT MAX(t.remove_at) AS at FROM batch_attempts a JOIN batch_tasks t ON t.sequence = a.task
WHERE a.account = :account AND a.pool = :pool AND a.node = :node AND a.kind = 'task' AND t.files_removed = 0

-- name: booted_node
UPDATE batch_nodes SET booted_at = :at WHERE account = :account AND pool = :pool AND id = :id

-- name: node_errors
UPDATE batch_nodes SET errors = :errors WHERE account = :account AND pool = :pool AND id = :id

-- name: blocked_nodes
SELECT node FROM batch_job_nodes WHERE account = :account AND pool = :pool AND job = :job AND prep_state = 'failed'

-- name: attempts_to_launch
SELECT id FROM batch_attempts WHERE ended_at IS NULL AND launcher = '{}'

-- name: take_attempt
UPDATE batch_attempts SET launcher = :launcher, launched_at = :at WHERE id = :id

-- name: schedule_seen
UPDATE batch_schedules SET attention = 0 WHERE account = :account AND key = :key AND attention = 1

-- name: open_work_of_job
SELECT COUNT(*) AS n FROM batch_attempts WHERE account = :account AND job = :job AND ended_at IS NULL
 AND kind IN ('task', 'prep')

-- name: job_can_go
UPDATE batch_jobs SET action = 'drop', attention = 0 WHERE account = :account AND key = :job AND state = 'deleting'

-- name: jobs_to_drop
SELECT account, key FROM batch_jobs WHERE state = 'deleting' AND action = 'drop'

-- name: places_of_job
SELECT DISTINCT a.pool, a.node FROM batch_tasks t JOIN batch_attempts a ON a.task = t.sequence
WHERE t.account = :account AND t.job = :job
UNION SELECT pool, node FROM batch_job_nodes WHERE account = :account AND job = :job

-- name: attempts_of_job
SELECT a.* FROM batch_tasks t JOIN batch_attempts a ON a.task = t.sequence WHERE t.account = :account AND t.job = :job

-- name: node_booted
SELECT booted_at FROM batch_nodes WHERE account = :account AND pool = :pool AND id = :node

-- name: set_release
UPDATE batch_job_nodes SET release_state = :state, release = :release
WHERE account = :account AND job = :job AND pool = :pool AND node = :node

-- name: releases_without_node
UPDATE batch_job_nodes SET release_state = 'completed' WHERE account = :account AND job = :job
 AND release_state IN ('wanted', 'running')
 AND NOT EXISTS (SELECT 1 FROM batch_nodes n WHERE n.account = batch_job_nodes.account AND n.pool = batch_job_nodes.pool
                 AND n.id = batch_job_nodes.node)

-- name: left_in_account
SELECT (SELECT COUNT(*) FROM batch_pools WHERE account = :account) AS pools,
       (SELECT COUNT(*) FROM batch_jobs WHERE account = :account) AS jobs,
       (SELECT COUNT(*) FROM batch_schedules WHERE account = :account) AS schedules,
       (SELECT COUNT(*) FROM batch_applications WHERE account = :account) AS applications

-- name: drop_account
DELETE FROM batch_accounts WHERE key = :account

-- name: autoscale_enabled
UPDATE batch_pools SET autoscale_enabled_at = :at WHERE account = :account AND key = :key

-- name: watch_ending_job
UPDATE batch_jobs SET attention = 1 WHERE account = :account AND key = :job AND attention = 0
 AND state NOT IN ('active', 'disabled', 'completed')

-- name: empty_deleting_pools
SELECT account, key FROM batch_pools p WHERE state = 'deleting'
 AND NOT EXISTS (SELECT 1 FROM batch_nodes n WHERE n.account = p.account AND n.pool = p.key)

-- name: applications
SELECT * FROM batch_applications WHERE account = :account AND key > :after ORDER BY key

-- name: application
SELECT * FROM batch_applications WHERE account = :account AND key = :key

-- name: put_application
INSERT INTO batch_applications (account, key, id, display_name, default_version, allow_updates, created_at, modified_at)
VALUES (:account, :key, :id, :display_name, :default_version, :allow_updates, :at, :at)
ON CONFLICT (account, key) DO UPDATE SET display_name = excluded.display_name,
       default_version = excluded.default_version, allow_updates = excluded.allow_updates,
       version = version + 1, modified_at = excluded.modified_at

-- name: drop_application
DELETE FROM batch_applications WHERE account = :account AND key = :key

-- name: packages
SELECT * FROM batch_packages WHERE account = :account AND application = :application ORDER BY version_key

-- name: put_package
INSERT INTO batch_packages (account, application, version_key, version, created_at)
VALUES (:account, :application, :version_key, :version, :at)
ON CONFLICT (account, application, version_key) DO UPDATE SET state = 'pending', activated_at = NULL

-- name: activate_package
UPDATE batch_packages SET state = 'active', format = :format, size = :size, digest = :digest, activated_at = :at
WHERE account = :account AND application = :application AND version_key = :version_key

-- name: drop_package
DELETE FROM batch_packages WHERE account = :account AND application = :application AND version_key = :version_key

-- name: drop_prep_attempts
DELETE FROM batch_attempts WHERE account = :account AND job = :job AND kind IN ('prep', 'release')

-- name: satisfied_of
SELECT number FROM batch_satisfied WHERE account = :account AND job = :job AND number BETWEEN :first AND :last
ORDER BY number LIMIT :most

-- name: tasks_of_number
SELECT id, state FROM batch_tasks WHERE account = :account AND job = :job AND deleted = 0
   AND key NOT GLOB '*[^0-9]*' AND ltrim(key, '0') = ltrim(:number, '0') ORDER BY state = 'completed' LIMIT 1

-- name: dependencies_of
SELECT needs, remaining FROM batch_dependencies WHERE dependent = :sequence ORDER BY needs

-- name: holders
SELECT j.id AS job_id, t.id, a.node FROM batch_attempts a INDEXED BY batch_attempts_open JOIN batch_tasks t ON t.sequence = a.task
 JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE a.account = :account AND a.pool = :pool AND a.kind = 'task' AND a.ended_at IS NULL ORDER BY a.id LIMIT 100

-- name: tasks_ahead
SELECT COUNT(*) AS n FROM batch_tasks t JOIN batch_jobs j ON j.account = t.account AND j.key = t.job
WHERE t.account = :account AND t.pool = :pool AND t.state = 'active' AND t.unmet = 0 AND j.state = 'active'
 AND (j.priority > :priority OR (j.priority = :priority AND t.sequence < :sequence))
