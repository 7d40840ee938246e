-- For every table of the database: its name, its columns, and the statement that digests its rows.
-- The digest is a sum over rows, so their order does not matter; columns go by name, so neither
-- does theirs. Partitions are read through their root, children by inheritance for themselves.

SELECT
    format('%I.%I', namespace.nspname, class.relname) AS name,
    coalesce(columns.shape, '') AS shape,
    format(
        'SELECT count(*), concat_ws('' '', sum(hashtextextended(digested.r, 0)::numeric), '
        'sum(hashtextextended(digested.r, 1)::numeric)) '
        'FROM (SELECT ROW(%s)::text AS r FROM %s %I.%I AS t) AS digested',
        columns.list,
        CASE class.relkind WHEN 'r' THEN 'ONLY' END,
        namespace.nspname,
        class.relname
    ) AS statement
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
CROSS JOIN LATERAL (
    SELECT
        string_agg(format('t.%I', attribute.attname), ', ' ORDER BY attribute.attname) AS list,
        string_agg(
            format('%I %s', attribute.attname, format_type(attribute.atttypid, attribute.atttypmod)),
            ', ' ORDER BY attribute.attname
        ) AS shape
    FROM pg_catalog.pg_attribute AS attribute
    WHERE attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
) AS columns
WHERE class.relkind IN ('r', 'p')
    AND NOT class.relispartition
    AND class.relpersistence <> 't'
    AND namespace.nspname NOT IN ('pg_catalog', 'information_schema', 'dunlin')
ORDER BY 1
