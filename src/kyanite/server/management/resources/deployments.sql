-- The statements on deployments; each begins with `-- name: the_name`.

-- name: list
SELECT document FROM deployments WHERE key >= :first AND key < :last ORDER BY started_at DESC LIMIT 1000

-- name: read
SELECT document, operations, state FROM deployments WHERE key = :key

-- name: write
INSERT INTO deployments (key, document, operations, state, started_at)
VALUES (:key, :document, :operations, :state, :at)
ON CONFLICT (key) DO UPDATE SET document = excluded.document, operations = excluded.operations,
    state = excluded.state, started_at = excluded.started_at

-- name: drop
DELETE FROM deployments WHERE key = :key
