-- The statements on what Resource Manager was told of storage accounts; each begins with `-- name: the_name`.

-- name: read
SELECT document FROM storage_account_documents WHERE account = :account

-- name: write
INSERT INTO storage_account_documents (account, document) VALUES (:account, :document)
ON CONFLICT (account) DO UPDATE SET document = excluded.document

-- name: drop
DELETE FROM storage_account_documents WHERE account = :account
