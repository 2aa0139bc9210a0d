-- The statements of the audit log; each block begins with `-- name: the_name`.

-- name: append
INSERT INTO audit (at, who, kind, client, method, operation, target, result, code, request_id)
VALUES (:at, :who, :kind, :client, :method, :operation, :target, :result, :code, :request_id)

-- name: entries
SELECT * FROM (
    SELECT * FROM audit
    WHERE (:since IS NULL OR at >= :since) AND (:who IS NULL OR who = :who) AND (NOT :refused OR result >= 400)
    ORDER BY number DESC LIMIT :limit
) ORDER BY number
