-- The management API. `audit` is only ever added to; its triggers say so to everybody who opens the database.

CREATE TABLE audit (
    number     INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,        -- UTC, ISO, six fraction digits
    who        TEXT NOT NULL,        -- name of the identity, empty when nobody was recognised
    kind       TEXT NOT NULL,
    client     TEXT NOT NULL,        -- address
    method     TEXT NOT NULL,
    operation  TEXT NOT NULL,        -- as in the route table, empty when the path has no route
    target     TEXT NOT NULL,        -- path, without its query
    result     INTEGER NOT NULL,     -- HTTP status
    code       TEXT NOT NULL,        -- error code, empty when it was done
    request_id TEXT NOT NULL
);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT raise(ABORT, 'the audit log is only added to');
END;

CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN
    SELECT raise(ABORT, 'the audit log is only added to');
END;

-- When a factory was first seen: its createTime.
CREATE TABLE factories (
    key        TEXT PRIMARY KEY,     -- case-folded name
    created_at TEXT NOT NULL         -- UTC, ISO, six fraction digits
) WITHOUT ROWID;
