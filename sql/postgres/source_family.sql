-- The columns, dropped ones included, of a table and of all that hang together with it: what it is
-- a partition of or inherits from, and what does so from that.
WITH RECURSIVE above (oid) AS (
    SELECT $1::oid
    UNION
    SELECT i.inhparent
    FROM above a
    JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
),
family (oid) AS (
    SELECT oid FROM above
    UNION
    SELECT i.inhrelid
    FROM family f
    JOIN pg_catalog.pg_inherits i ON i.inhparent = f.oid
),
descent (type, base) AS (
    SELECT DISTINCT a.atttypid, a.atttypid
    FROM family f
    JOIN pg_catalog.pg_attribute a ON a.attrelid = f.oid AND a.attnum > 0
    UNION ALL
    SELECT d.type, t.typbasetype
    FROM descent d
    JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype = 'd'
)
SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relfilenode AS storage,
       ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
       a.attnum AS number,
       a.attname::text AS "column",
       a.attisdropped AS dropped,
       tn.nspname::text AS type_schema,
       t.typname::text AS type_name,
       b.oid AS base_type,
       bn.nspname::text AS base_schema,
       b.typname::text AS base_name,
       a.atttypmod AS type_modifier,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_text,
       a.attcollation <> t.typcollation AS collated,
       cn.nspname::text AS collation_schema,
       l.collname::text AS collation_name,
       a.attnotnull AS not_null,
       a.attinhcount > 0 AS inherited,
       a.attgenerated::text AS generated,
       a.attidentity::text AS identity,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression,
       a.atthasmissing AS has_missing,
       pg_catalog.array_to_string(a.attmissingval, '') AS missing,
       a.xmin::text::int8 AS version,
       d.xmin::text::int8 AS expression_version
FROM family f
JOIN pg_catalog.pg_class c ON c.oid = f.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN (descent e JOIN pg_catalog.pg_type b ON b.oid = e.base AND b.typtype <> 'd')
    ON e.type = a.atttypid
LEFT JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = l.collnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
ORDER BY c.oid, a.attnum
