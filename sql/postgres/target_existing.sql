SELECT w.schema, w.name, c.relkind = 'p' AS partitioned, c.relispartition AS partition
FROM unnest($1::text[], $2::text[]) AS w (schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE c.relkind IN ('r', 'p')
ORDER BY w.schema, w.name
