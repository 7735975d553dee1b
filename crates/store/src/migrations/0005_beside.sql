-- Releases beside the live one: a canary answers a share of the traffic, a shadow release only watches.

CREATE TABLE deployment_beside (
    task         TEXT    NOT NULL,
    role         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    share        REAL, -- of the traffic; NULL for a shadow
    time_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (task, role)
) STRICT, WITHOUT ROWID;

ALTER TABLE deployment_history ADD COLUMN share REAL; -- of a canary

-- What watching releases would have done. `hour` is the time divided by 3,600,000.
CREATE TABLE shadow_hour (
    task         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    hour         INTEGER NOT NULL,
    requests     INTEGER NOT NULL, -- that it was asked about
    would_answer INTEGER NOT NULL, -- of these, those it was sure of
    compared     INTEGER NOT NULL, -- of those, the ones of which it is known what was answered
    agreed       INTEGER NOT NULL, -- of those, the ones answered the same
    all_compared INTEGER NOT NULL, -- the same two of every request, sure or not
    all_agreed   INTEGER NOT NULL,
    skipped      INTEGER NOT NULL, -- requests that there was no room to ask it about
    PRIMARY KEY (task, version, hour)
) STRICT, WITHOUT ROWID;
