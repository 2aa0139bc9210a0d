-- The statements of the run store. Each block begins with a line `-- name: the_name`.

-- name: insert_run
INSERT INTO runs (run_id, factory, pipeline, status, version, queued_at, started_at, ended_at, updated_at, message,
                  group_id, parent_run_id, snapshot)
VALUES (:run_id, :factory, :pipeline, :status, :version, :queued_at, :started_at, :ended_at, :updated_at, :message,
        :group_id, :parent_run_id, :snapshot)
ON CONFLICT (run_id) DO NOTHING

-- name: insert_header
INSERT INTO headers (run_id, body) VALUES (?, ?)

-- name: insert_event
INSERT INTO events (run_id, seq, at, kind, body) VALUES (?, ?, ?, ?, ?)

-- name: state
SELECT status, version, queued_at, started_at, ended_at, updated_at, message, lease_token, lease_owner, lease_until
FROM runs WHERE run_id = ?

-- name: update_run
UPDATE runs
SET status = :status, version = :version, queued_at = :queued_at, started_at = :started_at, ended_at = :ended_at,
    updated_at = :updated_at, message = :message
WHERE run_id = :run_id

-- name: read
SELECT seq, kind, at, body FROM events WHERE run_id = ? AND seq > ? ORDER BY seq

-- name: version
SELECT version FROM runs WHERE run_id = ?

-- name: claim
UPDATE runs SET lease_token = lease_token + 1, lease_owner = :owner, lease_until = :until WHERE run_id = :run_id

-- name: renew
UPDATE runs SET lease_until = :until WHERE run_id = :run_id AND lease_token = :token AND lease_owner IS NOT NULL

-- name: release
UPDATE runs SET lease_owner = NULL, lease_until = 0 WHERE run_id = :run_id AND lease_token = :token

-- name: summary
SELECT runs.*, headers.body AS header,
       NOT EXISTS (SELECT 1 FROM runs AS later
                   WHERE later.group_id = runs.group_id AND later.number > runs.number) AS is_latest
FROM runs JOIN headers USING (run_id)
WHERE run_id = ?

-- name: runs
-- Lists come in as JSON arrays; a condition that is NULL holds for every run.
SELECT runs.*, headers.body AS header,
       NOT EXISTS (SELECT 1 FROM runs AS later
                   WHERE later.group_id = runs.group_id AND later.number > runs.number) AS is_latest
FROM runs JOIN headers USING (run_id)
WHERE (:after IS NULL OR number < :after)
  AND (:status IS NULL OR status IN (SELECT value FROM json_each(:status)))
  AND (:not_status IS NULL OR status NOT IN (SELECT value FROM json_each(:not_status)))
  AND (:pipeline IS NULL OR pipeline IN (SELECT value FROM json_each(:pipeline)))
  AND (:not_pipeline IS NULL OR pipeline NOT IN (SELECT value FROM json_each(:not_pipeline)))
  AND (:factory IS NULL OR factory = :factory)
  AND (:updated_after IS NULL OR updated_at >= :updated_after)
  AND (:updated_before IS NULL OR updated_at <= :updated_before)
  AND (:started_after IS NULL OR started_at >= :started_after)
  AND (:started_before IS NULL OR started_at <= :started_before)
  AND (:ended_after IS NULL OR ended_at >= :ended_after)
  AND (:ended_before IS NULL OR ended_at <= :ended_before)
  AND (:parent IS NULL OR parent_run_id = :parent)
  AND (:group IS NULL OR group_id = :group)
  AND (NOT :latest_only OR is_latest)
ORDER BY number DESC
LIMIT :limit

-- name: snapshot_used_at
SELECT used_at FROM snapshots WHERE hash = ?

-- name: put_snapshot
INSERT INTO snapshots (hash, used_at, body) VALUES (:hash, :used_at, :body)
ON CONFLICT (hash) DO UPDATE SET used_at = excluded.used_at

-- name: snapshot
SELECT body FROM snapshots WHERE hash = ?

-- name: ended_runs
SELECT run_id, version FROM runs WHERE ended_at < ? ORDER BY ended_at LIMIT 100

-- name: delete_events
DELETE FROM events WHERE run_id = ?

-- name: delete_header
DELETE FROM headers WHERE run_id = ?

-- name: delete_run
DELETE FROM runs WHERE run_id = ?

-- name: delete_snapshots
DELETE FROM snapshots
WHERE used_at < ? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.snapshot = snapshots.hash)
