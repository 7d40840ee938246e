-- What only MySQL can define. A blank line ends each statement.

CREATE TABLE expressions (
    id INT PRIMARY KEY, w VARCHAR(40), j JSON DEFAULT (JSON_ARRAY(1, 'ß')), t TEXT DEFAULT ('it''s \\ "'), b BLOB DEFAULT (UUID_TO_BIN(UUID())),
    p POINT DEFAULT (POINT(0, 0)), r DOUBLE DEFAULT (RAND()), u CHAR(36) DEFAULT (UUID()),
    KEY lower ((LOWER(w))), KEY mixed (id, (CONCAT(w, 'ß')) DESC), UNIQUE KEY once ((id + 1), w), KEY members ((CAST(j->'$.a' AS UNSIGNED ARRAY))),
    CONSTRAINT lax CHECK (id > 0) NOT ENFORCED, FULLTEXT KEY grams (w) WITH PARSER ngram, KEY unseen (w) INVISIBLE,
    UNIQUE KEY also_unseen (w, id) INVISIBLE) CHARACTER SET utf8mb4

CREATE TABLE places (id INT PRIMARY KEY, p POINT NOT NULL SRID 4326, g GEOMETRY SRID 0, SPATIAL KEY (p))

CREATE TABLE kept (id INT PRIMARY KEY STORAGE DISK COLUMN_FORMAT FIXED, v INT COLUMN_FORMAT DYNAMIC) AUTOEXTEND_SIZE = 4M
    ENCRYPTION = 'N' COMPRESSION = 'none' TABLESPACE = innodb_file_per_table

SET sql_generate_invisible_primary_key = ON

CREATE TABLE without_key (a INT, KEY (a))

SET sql_generate_invisible_primary_key = OFF

CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3), w VECTOR DEFAULT (STRING_TO_VECTOR('[1]')))

CREATE TABLE of_today (id INT PRIMARY KEY, w VARCHAR(9), KEY (w)) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_as_cs

INSERT INTO expressions (id, w) VALUES (1, 'ß')

INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1 2)', 4326), NULL)

INSERT INTO without_key VALUES (1), (1)

INSERT INTO vectors (id) VALUES (1)
