-- At least one of everything that pg_dump knows, as far as every version from 13 on knows it.
-- What came later is in the files beside this one, named after the version.

CREATE SCHEMA shop AUTHORIZATION shop_owner;
CREATE SCHEMA "Odd ""Schema""";
CREATE SCHEMA away;
COMMENT ON SCHEMA shop IS 'everything';
GRANT USAGE ON SCHEMA shop, "Odd ""Schema""" TO shop_reader, "shop Writer";
GRANT CREATE ON SCHEMA shop TO "shop Writer" WITH GRANT OPTION;
GRANT USAGE ON SCHEMA public TO shop_reader;

-- Extensions, some outside of public.
CREATE EXTENSION hstore SCHEMA shop;
CREATE EXTENSION btree_gist;
CREATE EXTENSION pg_trgm SCHEMA "Odd ""Schema""";
CREATE EXTENSION bloom;
CREATE EXTENSION postgres_fdw;
COMMENT ON EXTENSION hstore IS 'ours';

-- Languages, access methods, transforms.
CREATE FUNCTION shop.second_call() RETURNS language_handler LANGUAGE c
    AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION shop.second_inline(internal) RETURNS void LANGUAGE c
    AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION shop.second_check(oid) RETURNS void LANGUAGE c
    AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE TRUSTED LANGUAGE plsecond HANDLER shop.second_call INLINE shop.second_inline
    VALIDATOR shop.second_check;
COMMENT ON LANGUAGE plsecond IS 'plpgsql again';
GRANT USAGE ON LANGUAGE plsecond TO shop_reader;
REVOKE USAGE ON LANGUAGE plsecond FROM PUBLIC;
CREATE ACCESS METHOD second_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE ACCESS METHOD second_gist TYPE INDEX HANDLER gisthandler;
COMMENT ON ACCESS METHOD second_heap IS 'heap again';
CREATE TRANSFORM FOR smallint LANGUAGE sql (
    FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int2recv(internal));
COMMENT ON TRANSFORM FOR smallint LANGUAGE sql IS 'does nothing';

-- Types of all kinds.
CREATE TYPE shop.mood AS ENUM ('sad', 'it''s ok', 'happy');
ALTER TYPE shop.mood ADD VALUE 'so so' BEFORE 'happy';
COMMENT ON TYPE shop.mood IS 'moods';
CREATE TYPE shop.pair AS (a integer, b text COLLATE "C", m shop.mood);
ALTER TYPE shop.pair ADD ATTRIBUTE late numeric(10, 2);
ALTER TYPE shop.pair DROP ATTRIBUTE a;
COMMENT ON COLUMN shop.pair.b IS 'of a pair';
CREATE TYPE shop.undefined;
CREATE TYPE shop.whole;
CREATE FUNCTION shop.whole_in(cstring) RETURNS shop.whole LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION shop.whole_out(shop.whole) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE shop.whole (INPUT = shop.whole_in, OUTPUT = shop.whole_out, INTERNALLENGTH = 4,
    ALIGNMENT = int4, DEFAULT = '42', PASSEDBYVALUE, CATEGORY = 'N', DELIMITER = ';');
CREATE FUNCTION shop.span_diff(a numeric, b numeric) RETURNS double precision
    LANGUAGE sql IMMUTABLE AS 'SELECT (a - b)::double precision';
CREATE TYPE shop.span AS RANGE (SUBTYPE = numeric, SUBTYPE_DIFF = shop.span_diff);
CREATE DOMAIN shop.code AS text COLLATE "C" DEFAULT 'x' NOT NULL
    CONSTRAINT code_short CHECK (length(VALUE) < 20) CHECK (VALUE <> 'bad;');
CREATE DOMAIN shop.small AS integer;
ALTER DOMAIN shop.small ADD CONSTRAINT later CHECK (VALUE < 1000) NOT VALID;
COMMENT ON DOMAIN shop.code IS 'codes';
COMMENT ON CONSTRAINT code_short ON DOMAIN shop.code IS 'short';
CREATE DOMAIN shop.codes AS shop.code[];
GRANT USAGE ON TYPE shop.mood TO shop_reader;
REVOKE USAGE ON TYPE shop.code FROM PUBLIC;
ALTER TYPE shop.span OWNER TO shop_owner;
CREATE COLLATION shop.plain (LOCALE = 'C');
CREATE COLLATION shop.loose (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
COMMENT ON COLLATION shop.plain IS 'C';
CREATE CONVERSION shop.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION shop.latin IS 'as the built-in one';

-- Functions, procedures, aggregates, casts, operators.
CREATE FUNCTION shop.twice(n integer DEFAULT 1, VARIADIC more integer[] DEFAULT '{}', OUT r integer)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE LEAKPROOF COST 5 SET search_path = shop, public
    AS $_$ SELECT n * 2; -- 'not a string
$_$;
CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    -- TOC entry 1 (class 1 OID 1)
    RETURN NEW;
END $$;
CREATE FUNCTION shop.seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION shop.rows(OUT a integer, OUT b text) RETURNS SETOF record ROWS 5 LANGUAGE plsecond
    AS 'BEGIN RETURN; END';
CREATE FUNCTION shop.moved(smallint) RETURNS smallint LANGUAGE sql
    TRANSFORM FOR TYPE smallint AS 'SELECT $1';
CREATE PROCEDURE shop.act(INOUT n integer) LANGUAGE plpgsql AS 'BEGIN n := n + 1; COMMIT; END';
COMMENT ON FUNCTION shop.twice(integer, integer[]) IS 'two';
COMMENT ON PROCEDURE shop.act(integer) IS 'acts';
REVOKE EXECUTE ON FUNCTION shop.twice(integer, integer[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.twice(integer, integer[]) TO shop_reader;
GRANT EXECUTE ON PROCEDURE shop.act(integer) TO "shop Writer" WITH GRANT OPTION;
ALTER FUNCTION shop.note() OWNER TO shop_owner;
CREATE AGGREGATE shop.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0',
    COMBINEFUNC = int4pl, PARALLEL = SAFE, MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = integer);
CREATE AGGREGATE shop.nth(double precision ORDER BY integer) (
    SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final,
    FINALFUNC_EXTRA);
COMMENT ON AGGREGATE shop.total(integer) IS 'sum';
CREATE FUNCTION shop.to_mood(integer) RETURNS shop.mood LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE WHEN $1 > 0 THEN 'happy' ELSE 'sad' END::shop.mood $$;
CREATE CAST (integer AS shop.mood) WITH FUNCTION shop.to_mood(integer) AS ASSIGNMENT;
CREATE CAST (shop.whole AS integer) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (shop.pair AS json) WITH INOUT;
COMMENT ON CAST (integer AS shop.mood) IS 'by sign';
CREATE FUNCTION shop.same(shop.pair, shop.pair) RETURNS boolean LANGUAGE sql IMMUTABLE
    AS 'SELECT $1.b = $2.b';
CREATE OPERATOR shop.=== (FUNCTION = shop.same, LEFTARG = shop.pair, RIGHTARG = shop.pair,
    COMMUTATOR = OPERATOR(shop.===), NEGATOR = OPERATOR(shop.!==), RESTRICT = eqsel, JOIN = eqjoinsel,
    HASHES, MERGES);
COMMENT ON OPERATOR shop.=== (shop.pair, shop.pair) IS 'same text';
CREATE FUNCTION shop.differ(shop.pair, shop.pair) RETURNS boolean LANGUAGE sql IMMUTABLE
    AS 'SELECT $1.b <> $2.b';
CREATE OPERATOR shop.!== (FUNCTION = shop.differ, LEFTARG = shop.pair, RIGHTARG = shop.pair,
    NEGATOR = OPERATOR(shop.===));
CREATE OPERATOR shop.!! (FUNCTION = int4abs, RIGHTARG = integer);
CREATE OPERATOR FAMILY shop.backward USING btree;
COMMENT ON OPERATOR FAMILY shop.backward USING btree IS 'descending';
CREATE FUNCTION shop.backward_cmp(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR CLASS shop.backward_ops FOR TYPE integer USING btree FAMILY shop.backward AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <,
    FUNCTION 1 shop.backward_cmp(integer, integer);
COMMENT ON OPERATOR CLASS shop.backward_ops USING btree IS 'descending';
ALTER OPERATOR FAMILY shop.backward USING btree ADD
    OPERATOR 1 > (integer, bigint), FUNCTION 1 (integer, bigint) btint48cmp(integer, bigint);
CREATE OPERATOR CLASS shop.boxes DEFAULT FOR TYPE box USING second_gist AS
    OPERATOR 1 <<, OPERATOR 3 &&, OPERATOR 7 @>, OPERATOR 8 <@,
    FUNCTION 1 gist_box_consistent(internal, box, smallint, oid, internal),
    FUNCTION 2 gist_box_union(internal, internal),
    FUNCTION 5 gist_box_penalty(internal, internal, internal),
    FUNCTION 6 gist_box_picksplit(internal, internal),
    FUNCTION 7 gist_box_same(box, box, internal);

-- Text search.
CREATE TEXT SEARCH PARSER shop.parser (START = prsd_start, GETTOKEN = prsd_nexttoken,
    END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE shop.template (LEXIZE = dsimple_lexize, INIT = dsimple_init);
CREATE TEXT SEARCH DICTIONARY shop.dictionary (TEMPLATE = shop.template, STOPWORDS = 'english');
CREATE TEXT SEARCH CONFIGURATION shop.words (PARSER = shop.parser);
ALTER TEXT SEARCH CONFIGURATION shop.words
    ADD MAPPING FOR asciiword, word WITH shop.dictionary, english_stem;
COMMENT ON TEXT SEARCH PARSER shop.parser IS 'p';
COMMENT ON TEXT SEARCH TEMPLATE shop.template IS 't';
COMMENT ON TEXT SEARCH DICTIONARY shop.dictionary IS 'd';
COMMENT ON TEXT SEARCH CONFIGURATION shop.words IS 'c';

-- Foreign data: the foreign table itself is left out of the migration, in the schema away.
CREATE FOREIGN DATA WRAPPER nothing OPTIONS (debug 'yes');
CREATE SERVER elsewhere TYPE 'pg' VERSION '9' FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host 'db.example', dbname 'it''s');
CREATE USER MAPPING FOR shop_reader SERVER elsewhere OPTIONS (user 'r', password 's''3');
CREATE USER MAPPING FOR PUBLIC SERVER elsewhere;
COMMENT ON FOREIGN DATA WRAPPER nothing IS 'no handler';
COMMENT ON SERVER elsewhere IS 'far';
GRANT USAGE ON FOREIGN DATA WRAPPER nothing TO shop_reader;
GRANT USAGE ON FOREIGN SERVER elsewhere TO shop_reader WITH GRANT OPTION;
CREATE FOREIGN TABLE away.remote (id integer OPTIONS (column_name 'i') NOT NULL, v text DEFAULT 'x')
    SERVER elsewhere OPTIONS (table_name 'r');
CREATE UNLOGGED TABLE away.fleeting (id integer PRIMARY KEY, v text);
CREATE VIEW away.both AS SELECT r.id, f.v FROM away.remote AS r JOIN away.fleeting AS f USING (id);

-- Sequences.
CREATE SEQUENCE shop.every_option AS smallint INCREMENT BY -3 MINVALUE -900 MAXVALUE 77 START 50
    CACHE 7 CYCLE;
CREATE SEQUENCE shop.free;
COMMENT ON SEQUENCE shop.every_option IS 'down';
GRANT USAGE, SELECT ON SEQUENCE shop.every_option TO shop_reader;
ALTER SEQUENCE shop.free OWNER TO shop_owner;

-- Tables.
CREATE TABLE shop.customer (
    gone integer,
    id integer GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5) PRIMARY KEY,
    code shop.code,
    name text COLLATE "C" NOT NULL DEFAULT 'it''s; a "name"' CONSTRAINT named CHECK (name <> ''),
    mood shop.mood DEFAULT 'sad',
    props shop.hstore DEFAULT '"a"=>"1"',
    doc tsvector,
    twice integer GENERATED ALWAYS AS (length(name) * 2) STORED,
    pairs shop.pair[],
    w shop.whole DEFAULT '7',
    "Mixed ""Case""" bytea,
    UNIQUE (code) INCLUDE (name) WITH (fillfactor = 70),
    CONSTRAINT later UNIQUE (name) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT soon UNIQUE (name, code) DEFERRABLE
) WITH (fillfactor = 80, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE shop.customer DROP COLUMN gone;
ALTER TABLE shop.customer ALTER COLUMN doc SET STORAGE EXTERNAL, ALTER COLUMN name SET STATISTICS 250,
    ALTER COLUMN name SET (n_distinct = -0.5), ALTER COLUMN "Mixed ""Case""" SET STORAGE MAIN;
ALTER TABLE shop.customer OWNER TO shop_owner;
ALTER TABLE shop.customer ADD CONSTRAINT polite CHECK (name <> 'fool') NOT VALID;
ALTER TABLE shop.customer ADD CONSTRAINT own CHECK (name <> 'own') NO INHERIT;
COMMENT ON TABLE shop.customer IS E'customers;\n-- TOC entry 2 (class 2 OID 2)\n\\.';
COMMENT ON COLUMN shop.customer."Mixed ""Case""" IS 'a column''s';
COMMENT ON CONSTRAINT named ON shop.customer IS 'a check''s';
COMMENT ON CONSTRAINT customer_pkey ON shop.customer IS 'a key''s';
GRANT SELECT, INSERT ON shop.customer TO shop_reader;
GRANT SELECT (name, code), UPDATE (name) ON shop.customer TO "shop Writer" WITH GRANT OPTION;
GRANT ALL ON shop.customer TO "shop Writer";

CREATE TABLE shop.orders (
    id bigserial PRIMARY KEY,
    customer integer CONSTRAINT orders_customer REFERENCES shop.customer ON DELETE CASCADE
        DEFERRABLE INITIALLY DEFERRED,
    parent bigint REFERENCES shop.orders ON UPDATE SET DEFAULT,
    room integer NOT NULL,
    during tsrange NOT NULL,
    span shop.span,
    amount numeric(12, 2) NOT NULL,
    note text,
    CONSTRAINT no_clash EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room > 0)
        DEFERRABLE,
    CONSTRAINT amounts EXCLUDE USING btree (amount WITH =) INCLUDE (note) WHERE (amount > 1000)
) USING second_heap;
ALTER TABLE shop.orders ADD CONSTRAINT unchecked FOREIGN KEY (room) REFERENCES shop.customer NOT VALID;
ALTER SEQUENCE shop.free OWNED BY NONE;
CREATE INDEX orders_amount ON shop.orders (amount DESC NULLS LAST, (room + 1)) INCLUDE (note)
    WITH (fillfactor = 60) WHERE amount > 5;
ALTER INDEX shop.orders_amount ALTER COLUMN 2 SET STATISTICS 300;
CREATE INDEX orders_hash ON shop.orders USING hash (note);
CREATE INDEX orders_brin ON shop.orders USING brin (id) WITH (pages_per_range = 8);
CREATE INDEX orders_gin ON shop.orders USING gin (note "Odd ""Schema""".gin_trgm_ops)
    WITH (fastupdate = off);
CREATE INDEX orders_gist ON shop.orders USING second_gist (box(point(room, room), point(0, 0)));
CREATE INDEX orders_spgist ON shop.orders USING spgist (note);
CREATE INDEX orders_bloom ON shop.orders USING bloom (room, note) WITH (length = 80);
CREATE INDEX orders_backward ON shop.orders (room shop.backward_ops);
CREATE INDEX "Orders ""Loose""" ON shop.orders (note COLLATE shop.loose);
CREATE INDEX orders_pattern ON shop.orders (note text_pattern_ops);
CREATE UNIQUE INDEX orders_clustered ON shop.orders (id DESC);
ALTER TABLE shop.orders CLUSTER ON orders_clustered;
COMMENT ON INDEX shop.orders_amount IS 'an index''s';
CREATE STATISTICS shop.orders_kinds (ndistinct, dependencies, mcv) ON room, amount FROM shop.orders;
ALTER STATISTICS shop.orders_kinds SET STATISTICS 77;
COMMENT ON STATISTICS shop.orders_kinds IS 'statistics''';
ALTER STATISTICS shop.orders_kinds OWNER TO shop_owner;

CREATE TABLE shop.by_index (code text NOT NULL, v text);
CREATE UNIQUE INDEX by_index_code ON shop.by_index (code);
ALTER TABLE shop.by_index REPLICA IDENTITY USING INDEX by_index_code;
CREATE TABLE shop.by_key (id integer NOT NULL, v text, CONSTRAINT by_key_unique UNIQUE (id));
ALTER TABLE shop.by_key REPLICA IDENTITY USING INDEX by_key_unique;
ALTER TABLE shop.by_key CLUSTER ON by_key_unique;
CREATE TABLE shop.by_all (v text);
ALTER TABLE shop.by_all REPLICA IDENTITY FULL;
CREATE TABLE shop.of_pair OF shop.pair (b WITH OPTIONS PRIMARY KEY, m DEFAULT 'sad');
CREATE TABLE shop.without_columns ();
CREATE TABLE shop.base (id integer PRIMARY KEY, v text DEFAULT 'b' NOT NULL CHECK (v <> 'no'));
CREATE TABLE shop.other_base (v text, w integer NOT NULL);
CREATE TABLE shop.child (own integer, v text DEFAULT 'c', PRIMARY KEY (id))
    INHERITS (shop.base, shop.other_base);
CREATE TABLE shop.joined (w integer NOT NULL, extra integer, v text);
ALTER TABLE shop.joined INHERIT shop.other_base;

-- Partitions of every kind.
CREATE TABLE shop.events (
    at date NOT NULL, region text NOT NULL, id integer NOT NULL, v text,
    PRIMARY KEY (at, region, id), UNIQUE (id, region, at)
) PARTITION BY RANGE (at);
CREATE TABLE shop.events_old PARTITION OF shop.events FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE shop.events_new (v text, junk integer, id integer NOT NULL, region text NOT NULL,
    at date NOT NULL) PARTITION BY LIST (region);
ALTER TABLE shop.events_new DROP COLUMN junk;
ALTER TABLE shop.events ATTACH PARTITION shop.events_new FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
CREATE TABLE shop.events_north PARTITION OF shop.events_new FOR VALUES IN ('north', 'it''s');
CREATE TABLE shop.events_rest PARTITION OF shop.events_new (v DEFAULT 'rest') DEFAULT
    PARTITION BY HASH (id);
CREATE TABLE shop.events_rest_0 PARTITION OF shop.events_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE "Odd ""Schema"""."Events 1" (LIKE shop.events_rest);
ALTER TABLE shop.events_rest ATTACH PARTITION "Odd ""Schema"""."Events 1"
    FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX events_v ON shop.events (v, lower(region));
CREATE INDEX events_only ON ONLY shop.events (id);
CREATE INDEX events_old_only ON shop.events_old (id);
ALTER INDEX shop.events_only ATTACH PARTITION shop.events_old_only;
CREATE INDEX events_north_own ON shop.events_north (v) WHERE v > 'm';
CREATE TABLE shop.event_notes (at date, region text, id integer, part integer, note text,
    FOREIGN KEY (at, region, id) REFERENCES shop.events MATCH FULL ON DELETE CASCADE,
    PRIMARY KEY (id, part)
) PARTITION BY LIST (part);
CREATE TABLE shop.event_notes_1 PARTITION OF shop.event_notes FOR VALUES IN (1);
CREATE TABLE shop.event_notes_2 PARTITION OF shop.event_notes DEFAULT;
CREATE TABLE shop.empty_root (id integer PRIMARY KEY) PARTITION BY HASH (id);

-- Views of every kind.
CREATE VIEW shop.plain WITH (security_barrier) AS SELECT id, name FROM shop.customer WHERE id > 0
    WITH CASCADED CHECK OPTION;
CREATE VIEW shop.local AS SELECT * FROM shop.plain WHERE name <> 'x' WITH LOCAL CHECK OPTION;
ALTER VIEW shop.local ALTER COLUMN name SET DEFAULT 'by view';
COMMENT ON VIEW shop.local IS 'a view''s';
COMMENT ON COLUMN shop.local.name IS 'a view column''s';
GRANT SELECT ON shop.local TO shop_reader;
CREATE RECURSIVE VIEW shop.counted (n) AS SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 5;
-- Only the primary key makes it valid, so it can only be made after that.
CREATE VIEW shop.by_customer AS
    SELECT c.*, count(*) FROM shop.customer c LEFT JOIN shop.orders o ON o.customer = c.id GROUP BY c.id;
CREATE MATERIALIZED VIEW shop.sums WITH (fillfactor = 90) AS
    SELECT id, name, count FROM shop.by_customer;
CREATE UNIQUE INDEX sums_id ON shop.sums (id);
ALTER MATERIALIZED VIEW shop.sums CLUSTER ON sums_id;
CREATE MATERIALIZED VIEW shop.a_sum_of_sums AS SELECT sum(count) FROM shop.sums;
CREATE MATERIALIZED VIEW shop.unread AS SELECT * FROM shop.a_sum_of_sums WITH NO DATA;
CREATE MATERIALIZED VIEW shop.heap_of USING second_heap AS SELECT * FROM shop.customer;
CREATE INDEX heap_of_name ON shop.heap_of (name);
COMMENT ON MATERIALIZED VIEW shop.sums IS 'kept';
ALTER MATERIALIZED VIEW shop.sums OWNER TO shop_owner;
GRANT SELECT ON shop.by_customer TO shop_owner;
GRANT SELECT ON shop.sums TO shop_reader;

-- Triggers, rules, policies, event triggers.
CREATE TRIGGER plain BEFORE INSERT OR UPDATE OF name ON shop.customer
    FOR EACH ROW WHEN (NEW.name <> 'x;') EXECUTE FUNCTION shop.note('it''s', '2');
CREATE TRIGGER disabled AFTER DELETE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.note();
CREATE TRIGGER always AFTER DELETE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.note();
CREATE TRIGGER replica AFTER DELETE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.note();
CREATE TRIGGER emptied AFTER TRUNCATE ON shop.customer EXECUTE FUNCTION shop.note();
CREATE TRIGGER transition AFTER UPDATE ON shop.customer REFERENCING OLD TABLE AS o NEW TABLE AS n
    FOR EACH STATEMENT EXECUTE FUNCTION shop.note();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON shop.orders FROM shop.customer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.note();
CREATE TRIGGER instead INSTEAD OF UPDATE ON shop.by_customer FOR EACH ROW EXECUTE FUNCTION shop.note();
CREATE TRIGGER parted AFTER INSERT ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.note();
ALTER TABLE shop.customer DISABLE TRIGGER disabled, ENABLE ALWAYS TRIGGER always,
    ENABLE REPLICA TRIGGER replica;
ALTER TABLE shop.events_old DISABLE TRIGGER parted;
COMMENT ON TRIGGER plain ON shop.customer IS 'a trigger''s';
CREATE RULE quiet AS ON DELETE TO shop.by_all WHERE OLD.v = 'kept' DO INSTEAD NOTHING;
CREATE RULE off AS ON INSERT TO shop.by_all DO ALSO SELECT 1;
ALTER TABLE shop.by_all DISABLE RULE off;
CREATE RULE through AS ON INSERT TO shop.counted DO INSTEAD
    (INSERT INTO shop.by_all VALUES (NEW.n); INSERT INTO shop.by_all VALUES (';'));
COMMENT ON RULE quiet ON shop.by_all IS 'a rule''s';
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY;
CREATE POLICY reads ON shop.orders AS PERMISSIVE FOR SELECT TO shop_reader USING (room > 0);
CREATE POLICY writes ON shop.orders AS RESTRICTIVE TO PUBLIC USING (true) WITH CHECK (amount > 0);
COMMENT ON POLICY reads ON shop.orders IS 'a policy''s';
CREATE EVENT TRIGGER watches ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE')
    EXECUTE FUNCTION shop.seen();
CREATE EVENT TRIGGER sleeps ON sql_drop EXECUTE FUNCTION shop.seen();
ALTER EVENT TRIGGER sleeps DISABLE;
COMMENT ON EVENT TRIGGER watches IS 'an event trigger''s';

-- Replication of their own.
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, truncate');
CREATE PUBLICATION "Some ""Tables""" FOR TABLE shop.customer, ONLY shop.base
    WITH (publish_via_partition_root);
CREATE PUBLICATION nothing;
COMMENT ON PUBLICATION everything IS 'all';
ALTER PUBLICATION nothing OWNER TO shop_owner;
CREATE SUBSCRIPTION theirs CONNECTION 'host=db.example password=secret' PUBLICATION p
    WITH (connect = false);

-- Privileges of what is to come.
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO shop_reader;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO "shop Writer" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;

-- Large objects.
SELECT lo_from_bytea(4711, 'small'), lo_from_bytea(4712, decode(repeat('ab', 200000), 'hex'));
COMMENT ON LARGE OBJECT 4711 IS 'a large object''s';
ALTER LARGE OBJECT 4712 OWNER TO shop_owner;
GRANT SELECT ON LARGE OBJECT 4711 TO shop_reader WITH GRANT OPTION;

-- Rows.
INSERT INTO shop.customer (code, name) SELECT n, 'customer ' || n FROM generate_series(1, 100) AS n;
INSERT INTO shop.orders (customer, room, during, amount, note)
    SELECT 5 + 5 * n, 5 + 5 * n, tsrange('2026-01-01', '2026-01-02'), n, 'order ' || n
    FROM generate_series(1, 100) AS n WHERE n % 2 = 1;
INSERT INTO shop.by_index SELECT n, n FROM generate_series(1, 20) AS n;
INSERT INTO shop.by_key SELECT n, n FROM generate_series(1, 20) AS n;
INSERT INTO shop.by_all VALUES ('a'), ('b'), ('b');
INSERT INTO shop.of_pair VALUES ('a', 'sad', 1.5);
INSERT INTO shop.base SELECT n FROM generate_series(1, 20) AS n;
INSERT INTO shop.child (id, w) SELECT n, n FROM generate_series(100, 120) AS n;
INSERT INTO shop.joined SELECT n, n, 'joined' FROM generate_series(1, 20) AS n;
INSERT INTO shop.events
    SELECT date '2025-11-01' + n, (ARRAY['north', 'south', 'it''s'])[1 + n % 3], n, 'event ' || n
    FROM generate_series(1, 200) AS n;
INSERT INTO shop.event_notes
    SELECT at, region, id, id % 3, 'note' FROM shop.events WHERE id % 2 = 0;
INSERT INTO away.fleeting VALUES (1, 'gone soon');
SELECT nextval('shop.every_option'), nextval('shop.free') FROM generate_series(1, 3);
REFRESH MATERIALIZED VIEW shop.sums;
REFRESH MATERIALIZED VIEW shop.a_sum_of_sums;
REFRESH MATERIALIZED VIEW shop.heap_of;
