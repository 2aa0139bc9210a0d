-- name: tasks_on_nodes
SELECT 1 FROM batch_tasks WHERE state IN ('preparing', 'running') LIMIT 1
