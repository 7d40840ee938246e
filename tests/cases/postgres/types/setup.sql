-- Types of extensions and of users, in every nesting.
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION ltree SCHEMA ext;
CREATE EXTENSION cube SCHEMA ext;
CREATE EXTENSION earthdistance SCHEMA ext;
CREATE EXTENSION seg SCHEMA ext;
CREATE EXTENSION intarray SCHEMA ext;
CREATE EXTENSION isn SCHEMA ext;
CREATE EXTENSION lo SCHEMA ext;
CREATE EXTENSION pg_trgm SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s, {"fine"}\', 'ö');
CREATE TYPE "Mixed Mood" AS ENUM ('So So', 'so so');
CREATE TYPE pair AS (a int, b text, m mood[]);
CREATE TYPE shrunk AS (a int, gone text, b mood);
ALTER TYPE shrunk DROP ATTRIBUTE gone;
CREATE TABLE row_of (gone int, a int, b pair);
ALTER TABLE row_of DROP COLUMN gone;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN positives AS positive[] CHECK (cardinality(VALUE) < 100);
CREATE DOMAIN code AS ext.citext CHECK (VALUE <> '');
CREATE DOMAIN short AS varchar(5);
CREATE DOMAIN shorter AS short CHECK (length(VALUE) < 4);
CREATE DOMAIN good_mood AS mood CHECK (VALUE <> 'sad');
CREATE DOMAIN good_pair AS pair CHECK ((VALUE).a > 0);
CREATE DOMAIN good_pairs AS good_pair[];
CREATE TYPE nest AS (p pair, gs good_pair[], n numeric(5, 2), h ext.hstore, r int4range, d shorter);
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE mood_range AS RANGE (subtype = mood);
CREATE TYPE text_range AS RANGE (subtype = text, collation = "C");
CREATE TYPE pair_range AS RANGE (subtype = pair);
CREATE DOMAIN some_span AS span CHECK (NOT isempty(VALUE));
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 140000 THEN
        CREATE DOMAIN int_spans AS int4multirange;
        CREATE TYPE spans AS (i int4multirange, s span_multirange[], m mood_multirange);
    END IF;
END $$;
CREATE SCHEMA kinds
