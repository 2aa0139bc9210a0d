-- What Resource Manager was told of a Batch account (tags, properties, resource group): JSON, sealed.
CREATE TABLE batch_account_documents (
    account  TEXT PRIMARY KEY,       -- case-folded name
    document TEXT NOT NULL
) WITHOUT ROWID;
