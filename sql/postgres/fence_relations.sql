-- The relations through which rows of these tables can be changed: the tables, the partitions below
-- those that are partitioned, and whatever they inherit from; roots first, as applications come by.
-- With the trigger of the seal's name that stands on each, and whether it is what a seal makes; in force it
-- may not be.
WITH RECURSIVE below AS (
    SELECT c.oid, c.relkind FROM pg_catalog.pg_class AS c WHERE c.oid = ANY ($1::oid[])
    UNION
    SELECT c.oid, c.relkind
    FROM below AS b
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = b.oid AND b.relkind = 'p'
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid),
family AS (
    SELECT b.oid FROM below AS b
    UNION
    SELECT i.inhparent FROM family AS f JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = f.oid)
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
       t.oid IS NOT NULL AS there,
       -- Before INSERT, UPDATE, DELETE or TRUNCATE, for each statement, whatever it changes.
       coalesce(t.tgfoid = pg_catalog.to_regproc($3::text) AND t.tgtype = 62
                AND t.tgqual IS NULL AND t.tgattr::text = '', false) AS refuses,
       pg_catalog.pg_has_role(c.relowner, 'USAGE')
           AND pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS permitted
FROM family AS f
JOIN pg_catalog.pg_class AS c ON c.oid = f.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = $2::text
WHERE c.relkind IN ('r', 'p')
ORDER BY c.relkind = 'p' DESC, c.oid
