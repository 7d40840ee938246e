-- The state of migrations, in the target. Every statement may be run again.
CREATE DATABASE IF NOT EXISTS dunlin CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row per migration.
CREATE TABLE IF NOT EXISTS dunlin.migration (
    name         varchar(255) NOT NULL PRIMARY KEY,
    format       int NOT NULL,
    source       longtext NOT NULL,
    selection    longtext NOT NULL,
    phase        varchar(32) NOT NULL,
    owns_schema  boolean NOT NULL DEFAULT false,
    snapshot     longtext,
    archive      longblob,
    -- Up to this epoch processes are asked to stand by for a cutover.
    stand_by     bigint,
    cutover      longtext,
    created_at   datetime(6) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The one row that every group updates: how far the log is applied, and who may say so.
CREATE TABLE IF NOT EXISTS dunlin.checkpoint (
    migration    varchar(255) NOT NULL PRIMARY KEY,
    epoch        bigint NOT NULL,
    -- How many verifications were begun: whoever applies has to know the last one.
    generation   bigint NOT NULL DEFAULT 0,
    position     longtext,
    committed_at datetime(6),
    applied_at   datetime(6),
    transactions bigint NOT NULL DEFAULT 0,
    changes      bigint NOT NULL DEFAULT 0
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The tables, as they are by now.
CREATE TABLE IF NOT EXISTS dunlin.tables (
    migration    varchar(255) NOT NULL,
    id           int unsigned NOT NULL,
    definition   longtext NOT NULL,
    PRIMARY KEY (migration, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The ledger: a row for each chunk; done once low and high are set.
CREATE TABLE IF NOT EXISTS dunlin.chunk (
    migration    varchar(255) NOT NULL,
    table_id     int unsigned NOT NULL,
    number       int unsigned NOT NULL,
    `range`      longtext NOT NULL,
    bytes        bigint NOT NULL,
    low          longtext,
    high         longtext,
    `rows`       bigint NOT NULL DEFAULT 0,
    finished_at  datetime(6),
    PRIMARY KEY (migration, table_id, number)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What is built after the load.
CREATE TABLE IF NOT EXISTS dunlin.build (
    migration    varchar(255) NOT NULL,
    id           int NOT NULL,
    step         longtext NOT NULL,
    finished_at  datetime(6),
    PRIMARY KEY (migration, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A definition that is being carried out: the server commits with it, so it is recorded before.
CREATE TABLE IF NOT EXISTS dunlin.definition (
    migration    varchar(255) NOT NULL PRIMARY KEY,
    place        longtext NOT NULL,
    statement    longtext NOT NULL,
    stood        longtext NOT NULL,
    begun_at     datetime(6) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The latest figures of the running process, for status.
CREATE TABLE IF NOT EXISTS dunlin.status (
    migration    varchar(255) NOT NULL PRIMARY KEY,
    report       longtext NOT NULL,
    updated_at   datetime(6) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The verification that was begun last: what it compares, and whether it has ended.
CREATE TABLE IF NOT EXISTS dunlin.verification (
    migration    varchar(255) NOT NULL PRIMARY KEY,
    plan         longtext NOT NULL,
    begun_at     datetime(6) NOT NULL,
    ended_at     datetime(6)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What it has found to be equal.
CREATE TABLE IF NOT EXISTS dunlin.proof (
    migration    varchar(255) NOT NULL,
    unit         bigint NOT NULL,
    proof        longtext NOT NULL,
    proven_at    datetime(6) NOT NULL,
    PRIMARY KEY (migration, unit)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Tables that were found to be equal, each with its last proof.
CREATE TABLE IF NOT EXISTS dunlin.proven (
    migration    varchar(255) NOT NULL,
    table_id     int unsigned NOT NULL,
    proof        longtext NOT NULL,
    begun_at     datetime(6) NOT NULL,
    proven_at    datetime(6) NOT NULL,
    PRIMARY KEY (migration, table_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What was changed since the last verification was begun: units of it, or -1 for a whole table.
CREATE TABLE IF NOT EXISTS dunlin.touched (
    migration    varchar(255) NOT NULL,
    table_id     int unsigned NOT NULL,
    unit         bigint NOT NULL,
    PRIMARY KEY (migration, table_id, unit)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
