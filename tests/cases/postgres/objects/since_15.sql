-- What came with Postgres 15.
CREATE TABLE shop.no_twin_nulls (
    id integer PRIMARY KEY, a integer, b integer,
    UNIQUE NULLS NOT DISTINCT (a),
    FOREIGN KEY (a, b) REFERENCES shop.no_twin_nulls (b, a) ON DELETE SET NULL (a)
        DEFERRABLE,
    UNIQUE (b, a)
);
CREATE UNIQUE INDEX no_twin_nulls_b ON shop.no_twin_nulls (b) NULLS NOT DISTINCT;
CREATE VIEW shop.invoker WITH (security_invoker = true) AS SELECT * FROM shop.no_twin_nulls;
CREATE UNLOGGED SEQUENCE shop.fleeting_sequence;
CREATE PUBLICATION by_schema FOR TABLES IN SCHEMA shop, TABLE "Odd ""Schema"""."Events 1";
CREATE PUBLICATION filtered FOR TABLE shop.customer (id, code, name) WHERE (id > 5),
    shop.base WHERE (id % 2 = 0);
CREATE FUNCTION shop.counts_up(n integer) RETURNS integer LANGUAGE plpgsql
    SET work_mem = '8MB' AS 'BEGIN RETURN n + 1; END';
INSERT INTO shop.no_twin_nulls VALUES (1, 1, 2), (2, 2, 1), (3, NULL, 5);
