-- name: tasks_of_pool
SELECT t.state, t.result, COUNT(*) AS n
FROM batch_jobs j CROSS JOIN batch_tasks t INDEXED BY batch_tasks_counted ON t.account = j.account AND t.job = j.key
WHERE j.account = :account AND j.pool = :pool AND t.deleted = 0 GROUP BY t.state, t.result

-- name: ready_in_pool
SELECT COUNT(*) AS n
FROM batch_jobs j CROSS JOIN batch_tasks t INDEXED BY batch_tasks_ready
     ON t.account = j.account AND t.pool = j.pool AND t.job = j.key
WHERE j.account = :account AND j.pool = :pool AND j.state = 'active' AND t.state = 'active' AND t.unmet = 0

-- name: nodes_of_pool
SELECT state, dedicated, leaving, COUNT(*) AS n FROM batch_nodes
WHERE account = :account AND pool = :pool GROUP BY state, dedicated, leaving

-- name: add_sample
INSERT INTO batch_samples (account, pool, slot, at, metrics) VALUES (:account, :pool, :slot, :at, :metrics)
ON CONFLICT DO NOTHING

-- name: sampled
SELECT account, pool FROM batch_samples WHERE slot = :slot AND account = :account

-- name: samples
SELECT at, metrics FROM batch_samples WHERE account = :account AND pool = :pool AND slot >= :first ORDER BY slot

-- name: drop_old_samples
DELETE FROM batch_samples WHERE account = :account AND pool = :pool AND slot < :first

-- name: drop_samples
DELETE FROM batch_samples WHERE account = :account AND pool = :pool

-- name: due
SELECT due_at FROM batch_autoscale WHERE account = :account AND pool = :pool

-- name: first_due
SELECT MIN(due_at) AS due_at FROM batch_autoscale

-- name: set_due
INSERT INTO batch_autoscale (account, pool, due_at) VALUES (:account, :pool, :due_at)
ON CONFLICT (account, pool) DO UPDATE SET due_at = excluded.due_at

-- name: drop_due
DELETE FROM batch_autoscale WHERE account = :account AND pool = :pool

-- name: add_run
INSERT INTO batch_autoscale_runs (account, pool, at, run) VALUES (:account, :pool, :at, :run)
ON CONFLICT (account, pool, at) DO UPDATE SET run = excluded.run

-- name: runs
SELECT run FROM batch_autoscale_runs WHERE account = :account AND pool = :pool ORDER BY at DESC LIMIT :most

-- name: drop_old_runs
DELETE FROM batch_autoscale_runs WHERE account = :account AND pool = :pool AND at < (
    SELECT MIN(at) FROM (SELECT at FROM batch_autoscale_runs WHERE account = :account AND pool = :pool
                         ORDER BY at DESC LIMIT :kept))

-- name: drop_runs
DELETE FROM batch_autoscale_runs WHERE account = :account AND pool = :pool
