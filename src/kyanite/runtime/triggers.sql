-- Statements of the trigger store; each block begins with `-- name: the_name`.

-- name: state
SELECT * FROM triggers WHERE factory = ? AND name = ?

-- name: started
SELECT * FROM triggers WHERE state = 'Started'

-- name: put_state
INSERT INTO triggers (factory, name, state, definition, since, done_until)
VALUES (:factory, :name, :state, :definition, :since, :done_until)
ON CONFLICT (factory, name) DO UPDATE
SET state = excluded.state, definition = excluded.definition, since = excluded.since,
    done_until = max(done_until, excluded.done_until)

-- name: claim_until
UPDATE triggers SET done_until = :until
WHERE factory = :factory AND name = :name AND state = 'Started' AND definition = :definition AND done_until < :until

-- name: insert_run
INSERT INTO trigger_runs (trigger_run_id, factory, trigger_key, name, type, fired_at, updated_at, status, message,
                          properties, pipelines, window_start, window_end, attempt, waiting_since, unmet)
VALUES (:trigger_run_id, :factory, :trigger_key, :name, :type, :fired_at, :updated_at, :status, :message,
        :properties, :pipelines, :window_start, :window_end, :attempt, :waiting_since, :unmet)
ON CONFLICT DO NOTHING

-- name: change_run
UPDATE trigger_runs
SET status = :status, message = :message, properties = :properties, pipelines = :pipelines, updated_at = :updated_at,
    fired_at = :fired_at, attempt = :attempt, reruns = :reruns, waiting_since = :waiting_since,
    not_before = :not_before, unmet = :unmet
WHERE trigger_run_id = :trigger_run_id AND status = :old_status AND attempt = :old_attempt AND reruns = :old_reruns

-- name: run
SELECT * FROM trigger_runs WHERE trigger_run_id = ?

-- name: runs_beginning_with
SELECT * FROM trigger_runs WHERE substr(trigger_run_id, 1, length(?)) = ? LIMIT 2

-- name: open_windows
SELECT * FROM trigger_runs
WHERE factory = ? AND trigger_key = ? AND window_start IS NOT NULL AND status IN ('Waiting', 'Inprogress')
ORDER BY window_start

-- name: count_running
SELECT count(*) AS count FROM trigger_runs
WHERE factory = ? AND trigger_key = ? AND window_start IS NOT NULL AND status = 'Inprogress'

-- name: window
SELECT * FROM trigger_runs WHERE factory = ? AND trigger_key = ? AND window_start = ?

-- name: last_window
SELECT window_start, window_end FROM trigger_runs
WHERE factory = ? AND trigger_key = ? AND window_start IS NOT NULL ORDER BY window_start DESC LIMIT 1

-- name: window_statuses
SELECT window_start, status FROM trigger_runs
WHERE factory = ? AND trigger_key = ? AND window_start BETWEEN ? AND ?

-- name: with_open_windows
SELECT DISTINCT factory, trigger_key FROM trigger_runs
WHERE window_start IS NOT NULL AND status IN ('Waiting', 'Inprogress')

-- name: runs
-- A condition that is NULL holds for every run.
SELECT * FROM trigger_runs
WHERE (:factory IS NULL OR factory = :factory)
  AND (:trigger IS NULL OR trigger_key = :trigger)
  AND (:status IS NULL OR status = :status)
  AND (:updated_after IS NULL OR updated_at >= :updated_after)
  AND (:updated_before IS NULL OR updated_at <= :updated_before)
  AND (:after IS NULL OR number < :after)
ORDER BY number DESC
LIMIT :limit

-- name: forget
DELETE FROM trigger_runs WHERE window_start IS NULL AND updated_at < ?
