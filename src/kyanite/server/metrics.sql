-- name: runs
SELECT status AS label, count(*) AS number FROM runs GROUP BY status ORDER BY status

-- name: tasks
SELECT state AS label, count(*) AS number FROM batch_tasks GROUP BY state ORDER BY state

-- name: nodes
SELECT state AS label, count(*) AS number FROM batch_nodes GROUP BY state ORDER BY state
