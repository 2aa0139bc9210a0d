-- Runs of a factory in the order that clients of the management API ask for.

CREATE INDEX runs_by_start ON runs (factory COLLATE NOCASE, coalesce(started_at, queued_at), number);
