INSERT INTO dunlin.chunk (migration, table_id, number, range, bytes)
SELECT $1, c.table_id, c.number, c.range::jsonb, c.bytes
FROM ROWS FROM (
    pg_catalog.unnest($2::int4[]), pg_catalog.unnest($3::int4[]),
    pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::int8[])
) AS c(table_id, number, range, bytes)
