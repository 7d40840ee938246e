SELECT w.id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS w (schema, "table", name, id)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
WHERE CASE
    WHEN w."table" IS NULL THEN EXISTS (
        SELECT FROM pg_catalog.pg_class c
        WHERE c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('i', 'I'))
    ELSE EXISTS (
        SELECT FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
        WHERE c.relnamespace = n.oid AND c.relname = w."table" AND k.conname = w.name)
END
