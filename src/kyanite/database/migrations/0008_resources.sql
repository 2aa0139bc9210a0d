-- Resource groups, deployments, and what Resource Manager was told of storage accounts. Documents are sealed JSON.
-- Keys are case-folded: subscription/group, subscription/group/deployment.

CREATE TABLE resource_groups (
    key        TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,        -- location, tags, managedBy as given
    created_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE deployments (
    key        TEXT PRIMARY KEY,
    document   TEXT NOT NULL,        -- the resource as it is answered, without secrets
    operations TEXT NOT NULL,        -- JSON list
    state      TEXT NOT NULL,        -- Running, Succeeded, Failed
    started_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE storage_account_documents (
    account    TEXT PRIMARY KEY,
    document   TEXT NOT NULL         -- location, tags, sku, kind, properties, resource group as given
) WITHOUT ROWID;
