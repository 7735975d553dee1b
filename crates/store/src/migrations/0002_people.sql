-- What people say: labels they are asked for, feedback they volunteer. And jobs for workers.

CREATE TABLE review (
    id                 INTEGER PRIMARY KEY,
    task               TEXT    NOT NULL,
    hash               TEXT    NOT NULL,
    text               TEXT    NOT NULL,
    small              TEXT,
    large              TEXT,
    confidence         REAL,
    reason             TEXT    NOT NULL,
    propensity         REAL    NOT NULL,
    priority           REAL    NOT NULL,
    request            TEXT,
    time_unix_ms       INTEGER NOT NULL,
    label              TEXT,
    labelled_by        TEXT,
    labelled_unix_ms   INTEGER,
    UNIQUE (task, hash)
) STRICT;
CREATE INDEX review_waiting ON review (task, priority DESC, id) WHERE label IS NULL;

CREATE TABLE feedback (
    id           INTEGER PRIMARY KEY,
    request      TEXT    NOT NULL,
    thumb        TEXT,
    label        TEXT,
    given_by     TEXT,
    time_unix_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX feedback_by_request ON feedback (request);

CREATE TABLE job (
    id               INTEGER PRIMARY KEY,
    kind             TEXT    NOT NULL,
    task             TEXT,
    payload          TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    inserted_unix_ms INTEGER NOT NULL,
    attempts         INTEGER NOT NULL,
    max_attempts     INTEGER NOT NULL,
    worker           TEXT,
    lease_until_ms   INTEGER,
    ended_unix_ms    INTEGER,
    outcome          TEXT
) STRICT;
CREATE INDEX job_open ON job (state, id) WHERE state IN ('waiting', 'running');
