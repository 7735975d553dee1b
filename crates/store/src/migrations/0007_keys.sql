-- Virtual keys: who may ask, for how much, and what they have spent.

-- `digest`: HMAC-SHA-256 with a secret that is not in this file. The key itself is nowhere.
CREATE TABLE virtual_key (
    name            TEXT    NOT NULL PRIMARY KEY,
    shown           TEXT    NOT NULL, -- its first characters
    digest          TEXT    NOT NULL UNIQUE,
    allowance       TEXT    NOT NULL,
    created_unix_ms INTEGER NOT NULL,
    expires_unix_ms INTEGER,
    revoked_unix_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Raised with every change of a key.
CREATE TABLE key_generation (
    only   INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO key_generation (only, number) VALUES (1, 0);

ALTER TABLE ledger ADD COLUMN key TEXT;
ALTER TABLE ledger ADD COLUMN held INTEGER; -- of the key's budget, where the cost is unknown

CREATE TABLE ledger_key_hour (
    key          TEXT    NOT NULL,
    hour         INTEGER NOT NULL,
    requests     INTEGER NOT NULL,
    small        INTEGER NOT NULL, -- answered by a small model
    cost_known   INTEGER NOT NULL,
    cost_unknown INTEGER NOT NULL, -- requests
    held         INTEGER NOT NULL,
    PRIMARY KEY (key, hour)
) STRICT, WITHOUT ROWID;
