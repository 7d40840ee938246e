-- The relations through which rows of these tables can be changed: the tables, the partitions below
-- those that are partitioned, and whatever they inherit from; roots first, as applications come by.
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
       EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
               WHERE t.tgrelid = c.oid AND t.tgname = $2::text) AS armed,
       pg_catalog.pg_has_role(c.relowner, 'USAGE')
           AND pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS permitted
FROM family AS f
JOIN pg_catalog.pg_class AS c ON c.oid = f.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
ORDER BY c.relkind = 'p' DESC, c.oid
