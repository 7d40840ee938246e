-- Which of the named sequences this role may not read.
SELECT w.schema, w.name
FROM unnest($1::text[], $2::text[]) AS w (schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name
-- The function refuses what is no sequence, and a join may call it for any relation.
WHERE CASE WHEN c.relkind = 'S'
           THEN NOT pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
           ELSE false END
ORDER BY w.schema, w.name
