-- What came with Postgres 18.
CREATE TABLE shop.virtual (
    id integer PRIMARY KEY,
    v text,
    length integer GENERATED ALWAYS AS (length(v)) VIRTUAL,
    kept integer GENERATED ALWAYS AS (length(v) * 2) STORED
);
CREATE TABLE shop.not_nulls (
    id integer CONSTRAINT id_there NOT NULL NO INHERIT,
    v text,
    w text CONSTRAINT w_there NOT NULL,
    CONSTRAINT not_enforced CHECK (id > 0) NOT ENFORCED
);
ALTER TABLE shop.not_nulls ADD CONSTRAINT v_there NOT NULL v NOT VALID;
COMMENT ON CONSTRAINT w_there ON shop.not_nulls IS 'a not-null constraint''s';
CREATE TABLE shop.not_nulls_child (CONSTRAINT own_name NOT NULL w) INHERITS (shop.not_nulls);
CREATE TABLE shop.stays (
    room integer, during tsrange, guest text,
    CONSTRAINT stays_key PRIMARY KEY (room, during WITHOUT OVERLAPS),
    UNIQUE (guest, during WITHOUT OVERLAPS)
);
CREATE TABLE shop.meals (
    id integer PRIMARY KEY, room integer, during tsrange, guest integer,
    FOREIGN KEY (room, PERIOD during) REFERENCES shop.stays (room, PERIOD during),
    CONSTRAINT loose FOREIGN KEY (guest) REFERENCES shop.customer NOT ENFORCED
);
ALTER TABLE shop.event_notes ADD CONSTRAINT unchecked FOREIGN KEY (id) REFERENCES shop.base NOT VALID;
CREATE PUBLICATION computed FOR TABLE shop.virtual WITH (publish_generated_columns = stored);
INSERT INTO shop.virtual SELECT n, repeat('x', n) FROM generate_series(1, 20) AS n;
INSERT INTO shop.not_nulls SELECT n, 'v', 'w' FROM generate_series(1, 20) AS n;
INSERT INTO shop.stays
    SELECT n, tsrange('2026-01-01', '2026-01-09'), 'guest ' || n FROM generate_series(1, 20) AS n;
INSERT INTO shop.meals
    SELECT n, n, tsrange('2026-01-02', '2026-01-03') FROM generate_series(1, 20) AS n;
