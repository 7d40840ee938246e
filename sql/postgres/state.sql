-- The state of migrations, in the target. Every statement may be run again.
CREATE SCHEMA IF NOT EXISTS dunlin;

-- One row per migration.
CREATE TABLE IF NOT EXISTS dunlin.migration (
    name         text PRIMARY KEY,
    format       integer NOT NULL,
    source       jsonb NOT NULL,
    selection    jsonb NOT NULL,
    phase        text NOT NULL,
    owns_schema  boolean NOT NULL DEFAULT false,
    snapshot     jsonb,
    archive      bytea,
    facts        jsonb,
    -- Up to this epoch processes are asked to stand by for a cutover.
    stand_by     bigint,
    cutover      jsonb,
    created_at   timestamptz NOT NULL DEFAULT pg_catalog.now()
);

-- The one row that every group updates: how far the log is applied, and who may say so.
CREATE TABLE IF NOT EXISTS dunlin.checkpoint (
    migration    text PRIMARY KEY REFERENCES dunlin.migration ON DELETE CASCADE,
    epoch        bigint NOT NULL,
    -- How many verifications were begun: whoever applies has to know the last one.
    generation   bigint NOT NULL DEFAULT 0,
    position     jsonb,
    committed_at timestamptz,
    applied_at   timestamptz,
    transactions bigint NOT NULL DEFAULT 0,
    changes      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- The tables, as they were when the migration began.
CREATE TABLE IF NOT EXISTS dunlin.tables (
    migration    text NOT NULL REFERENCES dunlin.migration ON DELETE CASCADE,
    id           integer NOT NULL,
    definition   jsonb NOT NULL,
    PRIMARY KEY (migration, id)
);

-- The ledger: a row for each chunk; done once low and high are set.
CREATE TABLE IF NOT EXISTS dunlin.chunk (
    migration    text NOT NULL REFERENCES dunlin.migration ON DELETE CASCADE,
    table_id     integer NOT NULL,
    number       integer NOT NULL,
    range        jsonb NOT NULL,
    bytes        bigint NOT NULL,
    low          jsonb,
    high         jsonb,
    rows         bigint NOT NULL DEFAULT 0,
    finished_at  timestamptz,
    PRIMARY KEY (migration, table_id, number)
);

-- What is built after the load.
CREATE TABLE IF NOT EXISTS dunlin.build (
    migration    text NOT NULL REFERENCES dunlin.migration ON DELETE CASCADE,
    id           integer NOT NULL,
    step         jsonb NOT NULL,
    finished_at  timestamptz,
    PRIMARY KEY (migration, id)
);

-- The latest figures of the running process, for status.
CREATE TABLE IF NOT EXISTS dunlin.status (
    migration    text PRIMARY KEY REFERENCES dunlin.migration ON DELETE CASCADE,
    report       jsonb NOT NULL,
    updated_at   timestamptz NOT NULL
);

-- The verification that was begun last: what it compares, and whether it has ended.
CREATE TABLE IF NOT EXISTS dunlin.verification (
    migration    text PRIMARY KEY REFERENCES dunlin.migration ON DELETE CASCADE,
    plan         jsonb NOT NULL,
    begun_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    ended_at     timestamptz
);

-- What it has found to be equal.
CREATE TABLE IF NOT EXISTS dunlin.proof (
    migration    text NOT NULL REFERENCES dunlin.verification ON DELETE CASCADE,
    unit         bigint NOT NULL,
    proof        jsonb NOT NULL,
    proven_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (migration, unit)
);

-- Tables that were found to be equal, each with its last proof.
CREATE TABLE IF NOT EXISTS dunlin.proven (
    migration    text NOT NULL REFERENCES dunlin.migration ON DELETE CASCADE,
    table_id     integer NOT NULL,
    proof        jsonb NOT NULL,
    begun_at     timestamptz NOT NULL,
    proven_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (migration, table_id)
);

-- What was changed since the last verification was begun: units of it, or -1 for a whole table.
CREATE TABLE IF NOT EXISTS dunlin.touched (
    migration    text NOT NULL REFERENCES dunlin.migration ON DELETE CASCADE,
    table_id     integer NOT NULL,
    unit         bigint NOT NULL,
    PRIMARY KEY (migration, table_id, unit)
);
