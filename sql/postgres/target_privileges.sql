-- What this role may not do with the named tables, of those that are there.
SELECT w.schema, w.name,
       pg_catalog.has_table_privilege(c.oid, 'SELECT')
           AND pg_catalog.has_table_privilege(c.oid, 'INSERT')
           AND pg_catalog.has_table_privilege(c.oid, 'UPDATE')
           AND pg_catalog.has_table_privilege(c.oid, 'DELETE')
           AND pg_catalog.has_table_privilege(c.oid, 'TRUNCATE') AS may_write
FROM unnest($1::text[], $2::text[]) AS w (schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE c.relkind IN ('r', 'p')
ORDER BY w.schema, w.name
