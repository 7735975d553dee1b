-- What was done and what it cost; releases; looks; paid answers; bulk runs; imported logs.
-- Times are milliseconds since 1970; money is micro-units of the workspace's currency; NULL means unknown, never 0.

-- How far each spool segment has been taken over. Written in the same transaction as the rows, so that a crash
-- neither loses a record nor takes one twice.
CREATE TABLE spool_segment (
    name    TEXT    NOT NULL PRIMARY KEY,
    applied INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Records that a spool held but this program could not read; kept as they were.
CREATE TABLE spool_unreadable (
    id      INTEGER PRIMARY KEY,
    segment TEXT    NOT NULL,
    start   INTEGER NOT NULL,
    why     TEXT    NOT NULL,
    payload BLOB    NOT NULL
) STRICT;

CREATE TABLE ledger (
    id                    INTEGER PRIMARY KEY,
    request               TEXT    NOT NULL,
    task                  TEXT    NOT NULL,
    release               INTEGER,
    time_unix_ms          INTEGER NOT NULL,
    source                TEXT    NOT NULL,
    ending                TEXT    NOT NULL,
    answered_by           TEXT,
    cost                  INTEGER,
    baseline              INTEGER,
    baseline_is_estimated INTEGER NOT NULL,
    provenance            TEXT    NOT NULL,
    latency_us            INTEGER NOT NULL,
    steps                 TEXT    NOT NULL
) STRICT;
CREATE INDEX ledger_by_request ON ledger (request);
CREATE INDEX ledger_by_task ON ledger (task);

-- Sums of whole requests. `hour` is the time divided by 3,600,000.
CREATE TABLE ledger_hour (
    task                TEXT    NOT NULL,
    hour                INTEGER NOT NULL,
    source              TEXT    NOT NULL,
    ending              TEXT    NOT NULL,
    answered_by         TEXT    NOT NULL, -- '' where nobody answered
    provenance          TEXT    NOT NULL,
    requests            INTEGER NOT NULL,
    cost_known          INTEGER NOT NULL,
    cost_unknown        INTEGER NOT NULL, -- requests
    baseline_known      INTEGER NOT NULL,
    baseline_unknown    INTEGER NOT NULL, -- requests
    baseline_estimated  INTEGER NOT NULL, -- requests
    compared            INTEGER NOT NULL, -- requests of which both cost and baseline are known, and their sums
    compared_cost       INTEGER NOT NULL,
    compared_baseline   INTEGER NOT NULL,
    latency_us          INTEGER NOT NULL,
    PRIMARY KEY (task, hour, source, ending, answered_by, provenance)
) STRICT, WITHOUT ROWID;

-- Sums of single steps.
CREATE TABLE ledger_model_hour (
    task           TEXT    NOT NULL,
    hour           INTEGER NOT NULL,
    source         TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    provenance     TEXT    NOT NULL,
    steps          INTEGER NOT NULL,
    answered       INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    cost_known     INTEGER NOT NULL,
    cost_unknown   INTEGER NOT NULL, -- steps
    input_tokens   INTEGER NOT NULL,
    cached_input   INTEGER NOT NULL,
    cache_write    INTEGER NOT NULL,
    output_tokens  INTEGER NOT NULL,
    tokens_unknown INTEGER NOT NULL, -- steps whose model counts no tokens, or that broke off
    latency_us     INTEGER NOT NULL,
    PRIMARY KEY (task, hour, source, model, provenance)
) STRICT, WITHOUT ROWID;

-- Latency histograms: of whole requests where `model` is '', else of the model's steps.
CREATE TABLE ledger_latency_hour (
    task   TEXT    NOT NULL,
    hour   INTEGER NOT NULL,
    source TEXT    NOT NULL,
    model  TEXT    NOT NULL,
    bucket INTEGER NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (task, hour, source, model, bucket)
) STRICT, WITHOUT ROWID;

-- Records that could not be kept, counted where the records are. `torn`: cut off by a crash before they were
-- acknowledged, of which the task is not known ('').
CREATE TABLE ledger_lost (
    task  TEXT    NOT NULL,
    hour  INTEGER NOT NULL,
    why   TEXT    NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (task, hour, why)
) STRICT, WITHOUT ROWID;

-- Raised with every change of what is live, or of what a live release may do.
CREATE TABLE generation (
    only   INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO generation (only, number) VALUES (1, 0);

CREATE TABLE release_counter (
    task TEXT    NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE release (
    task            TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    created_unix_ms INTEGER NOT NULL,
    status          TEXT    NOT NULL,
    json            TEXT    NOT NULL,
    PRIMARY KEY (task, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate_history (
    id           INTEGER PRIMARY KEY,
    task         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    time_unix_ms INTEGER NOT NULL,
    why          TEXT    NOT NULL,
    json         TEXT    NOT NULL
) STRICT;
CREATE INDEX certificate_history_by_release ON certificate_history (task, version);

-- What is live is the deepest row of its task; a rollback takes it off.
CREATE TABLE deployment (
    task         TEXT    NOT NULL,
    depth        INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    time_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (task, depth)
) STRICT, WITHOUT ROWID;

CREATE TABLE deployment_history (
    id           INTEGER PRIMARY KEY,
    task         TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    from_version INTEGER,
    time_unix_ms INTEGER NOT NULL,
    reason       TEXT    NOT NULL
) STRICT;
CREATE INDEX deployment_history_by_task ON deployment_history (task);

CREATE TABLE look (
    id                INTEGER PRIMARY KEY,
    task              TEXT    NOT NULL,
    guarantee         TEXT    NOT NULL,
    release           INTEGER,
    number            INTEGER NOT NULL,
    rows              INTEGER NOT NULL,
    reused            INTEGER NOT NULL,
    begun_unix_ms     INTEGER NOT NULL,
    finished_unix_ms  INTEGER,
    n                 INTEGER,
    accepted          INTEGER,
    bad               INTEGER,
    status            TEXT
) STRICT;
CREATE INDEX look_by_task ON look (task);

-- Which certification rows each look has seen.
CREATE TABLE look_row (
    task      TEXT    NOT NULL,
    guarantee TEXT    NOT NULL,
    hash      TEXT    NOT NULL,
    look      INTEGER NOT NULL,
    PRIMARY KEY (task, guarantee, hash, look)
) STRICT, WITHOUT ROWID;

-- Answers bought from a large model.
CREATE TABLE teacher (
    model        TEXT    NOT NULL,
    prompt       TEXT    NOT NULL,
    input        TEXT    NOT NULL,
    answer       TEXT,
    usage        TEXT    NOT NULL,
    latency_us   INTEGER NOT NULL,
    provenance   TEXT    NOT NULL,
    time_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (model, prompt, input)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id               INTEGER PRIMARY KEY,
    task             TEXT    NOT NULL,
    release          INTEGER NOT NULL, -- 0: no release
    input            TEXT    NOT NULL,
    output           TEXT    NOT NULL,
    options          TEXT    NOT NULL,
    begun_unix_ms    INTEGER NOT NULL,
    finished_unix_ms INTEGER,
    UNIQUE (task, release, input, output, options)
) STRICT;

CREATE TABLE run_row (
    run    INTEGER NOT NULL,
    row    INTEGER NOT NULL,
    answer TEXT,
    steps  TEXT    NOT NULL,
    cost   INTEGER,
    PRIMARY KEY (run, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE import (
    id           INTEGER PRIMARY KEY,
    source       TEXT    NOT NULL,
    time_unix_ms INTEGER NOT NULL,
    added        INTEGER NOT NULL,
    known        INTEGER NOT NULL
) STRICT;

CREATE TABLE call (
    id            INTEGER PRIMARY KEY,
    import        INTEGER NOT NULL,
    content       TEXT    NOT NULL UNIQUE,
    model         TEXT,
    system_prompt TEXT,
    schema        TEXT,
    time_unix_ms  INTEGER,
    input_tokens  INTEGER,
    output_tokens INTEGER,
    cost          INTEGER,
    session       TEXT,
    json          TEXT    NOT NULL
) STRICT;
