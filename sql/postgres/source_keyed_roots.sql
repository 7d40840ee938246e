-- Partitioned tables with a primary key that serves as replica identity: a deferrable one does not.
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'p' AND i.indisprimary AND i.indisvalid AND i.indimmediate
