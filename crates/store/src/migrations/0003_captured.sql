-- Texts of requests, redacted, of the tasks that keep them: what shadow learns from.

CREATE TABLE captured (
    id           INTEGER PRIMARY KEY,
    task         TEXT    NOT NULL,
    request      TEXT    NOT NULL,
    time_unix_ms INTEGER NOT NULL,
    text         TEXT    NOT NULL,
    hash         TEXT    NOT NULL, -- of the text as it stands here
    prompt_hash  TEXT,             -- of the system prompt and schema; NULL where the task was asked for by its name
    session      TEXT,
    small        TEXT,
    confidence   REAL,
    would_answer INTEGER NOT NULL,
    large        TEXT,
    answered_by  TEXT,
    release      INTEGER,
    propensity   REAL    NOT NULL,
    provenance   TEXT    NOT NULL
) STRICT;
CREATE INDEX captured_by_task ON captured (task);
CREATE INDEX captured_by_time ON captured (task, time_unix_ms);
CREATE INDEX captured_by_request ON captured (request);
