-- Where tables lie, and their columns with the transactions that wrote their descriptions.
SELECT c.oid,
       c.relfilenode AS storage,
       c.relnatts AS columns_ever,
       array_agg(a.attnum ORDER BY a.attnum) AS numbers,
       array_agg(a.attname::text ORDER BY a.attnum) AS names,
       array_agg(a.attgenerated <> '' ORDER BY a.attnum) AS generated,
       array_agg(n.nspname::text ORDER BY a.attnum) AS type_schemas,
       array_agg(t.typname::text ORDER BY a.attnum) AS type_names,
       array_agg(a.atttypmod ORDER BY a.attnum) AS type_modifiers,
       array_agg(a.xmin::text::int8 ORDER BY a.attnum) AS versions
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE c.oid = ANY ($1)
GROUP BY c.oid, c.relfilenode, c.relnatts
