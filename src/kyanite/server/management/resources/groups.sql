-- The statements on resource groups; each begins with `-- name: the_name`.

-- name: list
SELECT name, document FROM resource_groups WHERE key >= :first AND key < :last ORDER BY key

-- name: read
SELECT name, document FROM resource_groups WHERE key = :key

-- name: write
INSERT INTO resource_groups (key, name, document, created_at) VALUES (:key, :name, :document, :at)
ON CONFLICT (key) DO UPDATE SET document = excluded.document

-- name: drop
DELETE FROM resource_groups WHERE key = :key
