-- The statements on what Resource Manager was told of Batch accounts; each begins with `-- name: the_name`.

-- name: read
SELECT account, document FROM batch_account_documents

-- name: write
INSERT INTO batch_account_documents (account, document) VALUES (:account, :document)
ON CONFLICT (account) DO UPDATE SET document = excluded.document

-- name: drop
DELETE FROM batch_account_documents WHERE account = :account
