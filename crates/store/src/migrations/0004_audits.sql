-- Small answers held against the large model's and people's, and the parts of the traffic that were taken away for it.

-- In the order in which they were drawn. No text of the request. `held` is the slice that kept a small answer back, in
-- which case nobody got it; NULL where it was given, and drawn by chance.
CREATE TABLE audit (
    id              INTEGER PRIMARY KEY,
    task            TEXT    NOT NULL,
    release         INTEGER NOT NULL,
    request         TEXT    NOT NULL,
    held            TEXT,
    small           TEXT    NOT NULL,
    slice_groups    TEXT    NOT NULL,
    confidence      REAL    NOT NULL,
    propensity      REAL    NOT NULL,
    drawn_unix_ms   INTEGER NOT NULL,
    large           TEXT,
    missing         TEXT,    -- why the large model's answer is not there
    settled_unix_ms INTEGER
) STRICT;
CREATE INDEX audit_by_release ON audit (task, release, id);
CREATE INDEX audit_by_request ON audit (request);
CREATE INDEX review_by_request ON review (request) WHERE request IS NOT NULL;

-- Parts of the traffic that go to the large model until they have proved themselves again.
CREATE TABLE step_back (
    id            INTEGER PRIMARY KEY,
    task          TEXT    NOT NULL,
    release       INTEGER NOT NULL,
    slice         TEXT    NOT NULL,
    ear           TEXT    NOT NULL, -- who said so: gold, agreement
    why           TEXT    NOT NULL,
    began_unix_ms INTEGER NOT NULL,
    after_audit   INTEGER NOT NULL, -- audits beyond this one count for the present stage
    standing      TEXT    NOT NULL, -- JSON: the share answered small again, the looks taken
    ended_unix_ms INTEGER,
    ended_how     TEXT
) STRICT;
CREATE INDEX step_back_by_release ON step_back (task, release);

-- How a release's alarms stood when they were last looked at, for whoever shows it.
CREATE TABLE watched (
    task         TEXT    NOT NULL,
    release      INTEGER NOT NULL,
    time_unix_ms INTEGER NOT NULL,
    json         TEXT    NOT NULL,
    PRIMARY KEY (task, release)
) STRICT, WITHOUT ROWID;
