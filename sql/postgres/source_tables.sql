-- Every relation outside of the server's own schemas, with what is needed to copy its rows.
WITH RECURSIVE domain_base (oid, base) AS (
    SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT b.oid, t.typbasetype
    FROM domain_base b
    JOIN pg_catalog.pg_type t ON t.oid = b.base AND t.typtype = 'd'
),
-- Types of every server whose binary form travels: it holds no number that is given by one server
-- alone (an OID), nothing that depends on a locale, and nothing that a server sends and does not
-- take back (an empty int2vector, oidvector or tsquery).
built_in (oid) AS (
    SELECT oid
    FROM pg_catalog.pg_type
    WHERE oid < 10000
      AND typtype IN ('b', 'r', 'm')
      AND typsend <> 0
      AND typreceive <> 0
      AND typname NOT LIKE 'reg%'
      AND typname NOT IN ('money', 'xml', 'int2vector', 'oidvector', 'tsquery')
),
-- Arrays of those travel, and labels of an enum. Arrays and composites of users' types hold OIDs.
wire (oid, base, travels) AS (
    SELECT t.oid,
           base.oid,
           base.typtype = 'e'
           OR (EXISTS (SELECT FROM built_in b WHERE b.oid = base.oid)
               AND (base.typcategory <> 'A'
                    OR base.typelem = 0
                    OR EXISTS (SELECT FROM built_in b WHERE b.oid = base.typelem)))
    FROM pg_catalog.pg_type t
    LEFT JOIN domain_base d
        ON d.oid = t.oid
        AND EXISTS (SELECT FROM pg_catalog.pg_type b WHERE b.oid = d.base AND b.typtype <> 'd')
    JOIN pg_catalog.pg_type base ON base.oid = COALESCE(d.base, t.oid)
    WHERE t.typtype <> 'c'
),
-- Collations under which text sorts by its bytes, on the server as outside of it: by those of
-- UTF-8, in which the log comes. The columns of later versions are read by way of jsonb.
byte_order (oid) AS (
    SELECT c.oid
    FROM pg_catalog.pg_collation c
    JOIN pg_catalog.pg_database d ON d.datname = current_database()
    CROSS JOIN LATERAL (
        SELECT c.collprovider::text AS provider,
               c.collcollate AS libc,
               to_jsonb(c)->>'colllocale' AS builtin
        WHERE c.collprovider <> 'd'
        UNION ALL
        SELECT COALESCE(to_jsonb(d)->>'datlocprovider', 'c'),
               d.datcollate,
               to_jsonb(d)->>'datlocale'
        WHERE c.collprovider = 'd'
    ) AS used
    WHERE current_setting('server_encoding') = 'UTF8'
      AND (used.provider = 'c' AND used.libc IN ('C', 'POSIX')
           OR used.provider = 'b' AND used.builtin IN ('C', 'C.UTF-8', 'PG_UNICODE_FAST'))
),
relation AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, c.relfilenode,
           c.relispartition, c.reltoastrelid, c.reltuples, c.relnatts
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
      AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_'
      AND n.nspname <> 'information_schema'
),
attribute AS (
    SELECT a.attrelid,
           array_agg(a.attnum ORDER BY a.attnum) AS numbers,
           array_agg(a.attname::text ORDER BY a.attnum) AS names,
           array_agg(a.xmin::text::int8 ORDER BY a.attnum) AS versions,
           array_agg(tn.nspname::text ORDER BY a.attnum) AS type_schemas,
           array_agg(t.typname::text ORDER BY a.attnum) AS type_names,
           array_agg(a.atttypmod ORDER BY a.attnum) AS type_modifiers,
           array_agg(a.attnotnull ORDER BY a.attnum) AS not_null,
           array_agg(a.attgenerated <> '' ORDER BY a.attnum) AS generated,
           array_agg(cn.nspname::text ORDER BY a.attnum) AS collation_schemas,
           array_agg(c.collname::text ORDER BY a.attnum) AS collation_names,
           array_agg(o.oid IS NOT NULL ORDER BY a.attnum) AS in_byte_order,
           array_agg(COALESCE(w.base, t.oid) ORDER BY a.attnum) AS base_types,
           bool_and(a.attgenerated <> '' OR COALESCE(w.travels, false)) AS binary_travels
    FROM relation r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = c.collnamespace
    LEFT JOIN byte_order o ON o.oid = c.oid
    LEFT JOIN wire w ON w.oid = t.oid
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    GROUP BY a.attrelid
)
SELECT r.oid,
       r.nspname::text AS schema,
       r.relname::text AS name,
       r.relkind::text AS kind,
       r.relpersistence = 'u' AS unlogged,
       r.relfilenode AS storage,
       r.relreplident::text AS identity,
       r.relispartition AS partition,
       ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits i
             WHERE i.inhrelid = r.oid ORDER BY i.inhseqno) AS parents,
       ARRAY(SELECT i.xmin::text::int8 FROM pg_catalog.pg_inherits i
             WHERE i.inhrelid = r.oid ORDER BY i.inhseqno) AS links,
       extension.extname IS NOT NULL AS of_extension,
       COALESCE(r.oid = ANY (extension.extconfig), false) AS extension_config,
       COALESCE(a.numbers, '{}') AS numbers,
       COALESCE(a.names, '{}') AS names,
       COALESCE(a.versions, '{}') AS versions,
       r.relnatts AS columns_ever,
       COALESCE(a.type_schemas, '{}') AS type_schemas,
       COALESCE(a.type_names, '{}') AS type_names,
       COALESCE(a.type_modifiers, '{}') AS type_modifiers,
       COALESCE(a.not_null, '{}') AS not_null,
       COALESCE(a.generated, '{}') AS generated,
       COALESCE(a.collation_schemas, '{}') AS collation_schemas,
       COALESCE(a.collation_names, '{}') AS collation_names,
       COALESCE(a.in_byte_order, '{}') AS in_byte_order,
       COALESCE(a.base_types, '{}') AS base_types,
       COALESCE(a.binary_travels, true) AS binary_travels,
       (pk.indkey::int2[])[0:pk.indnkeyatts - 1] AS primary_key,
       COALESCE(pk.indimmediate, false) AS primary_key_immediate,
       (ri.indkey::int2[])[0:ri.indnkeyatts - 1] AS identity_key,
       CASE WHEN r.relkind = 'r'
            THEN COALESCE(pg_catalog.pg_relation_size(r.oid), 0) ELSE 0 END AS heap_bytes,
       CASE WHEN r.relkind = 'r' AND r.reltoastrelid <> 0
            THEN COALESCE(pg_catalog.pg_relation_size(r.reltoastrelid), 0) ELSE 0 END AS toast_bytes,
       current_setting('block_size')::int8 AS block_bytes,
       r.reltuples AS estimated_rows,
       s.correlation
FROM relation r
LEFT JOIN attribute a ON a.attrelid = r.oid
LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = r.oid AND pk.indisprimary AND pk.indisvalid
LEFT JOIN pg_catalog.pg_index ri ON ri.indrelid = r.oid AND ri.indisreplident AND ri.indisvalid
LEFT JOIN pg_catalog.pg_depend member
    ON member.classid = 'pg_catalog.pg_class'::regclass
    AND member.objid = r.oid
    AND member.objsubid = 0
    AND member.refclassid = 'pg_catalog.pg_extension'::regclass
    AND member.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension extension ON extension.oid = member.refobjid
LEFT JOIN pg_catalog.pg_attribute key
    ON key.attrelid = pk.indrelid AND key.attnum = (pk.indkey::int2[])[0]
LEFT JOIN pg_catalog.pg_stats s
    ON s.schemaname = r.nspname AND s.tablename = r.relname AND s.attname = key.attname
    AND NOT s.inherited
ORDER BY r.nspname, r.relname
