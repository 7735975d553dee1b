-- What somebody should be told: alarms, steps back and ways up.

CREATE TABLE notice (
    id           INTEGER PRIMARY KEY,
    time_unix_ms INTEGER NOT NULL,
    task         TEXT,
    kind         TEXT    NOT NULL,
    level        TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    json         TEXT    NOT NULL,
    sent_unix_ms INTEGER,
    attempts     INTEGER NOT NULL
) STRICT;
CREATE INDEX notice_unsent ON notice (id) WHERE sent_unix_ms IS NULL;
