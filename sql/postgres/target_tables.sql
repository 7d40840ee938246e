-- The columns of the named tables, one row each; a table without columns has one row of NULLs.
WITH RECURSIVE wanted (schema, name) AS (
    SELECT * FROM unnest($1::text[], $2::text[])
),
relation AS (
    SELECT c.oid, w.schema, w.name, c.relkind
    FROM wanted w
    JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
    WHERE c.relkind IN ('r', 'p')
),
attribute AS (
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attidentity,
           a.attgenerated
    FROM relation r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
),
descent (type, base) AS (
    SELECT DISTINCT atttypid, atttypid FROM attribute
    UNION ALL
    SELECT d.type, t.typbasetype
    FROM descent d
    JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype = 'd'
),
-- What remains of a type when its domains are taken off.
plain AS (
    SELECT d.type, t.oid AS base, t.typname, n.nspname, t.typtype, t.typinput,
           CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END AS element,
           COALESCE(NULLIF(t.typelem, 0), t.oid) AS io_parameter
    FROM descent d
    JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype <> 'd'
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
),
-- The equality of a type's default B-tree operator class, found as GetDefaultOpClass in the
-- server's indexcmds.c finds it: by the type, its polymorphic kin, or what it is coercible to.
comparable AS (
    SELECT p.oid, found.amopopr
    FROM (SELECT base FROM plain UNION SELECT element FROM plain) p (oid)
    CROSS JOIN LATERAL (
        SELECT o.amopopr
        FROM pg_catalog.pg_type t
        JOIN pg_catalog.pg_opclass c
            ON c.opcmethod = 403
            AND c.opcdefault
            AND (c.opcintype = t.oid
                 OR c.opcintype = CASE t.typtype
                                      WHEN 'e' THEN 'pg_catalog.anyenum'::regtype
                                      WHEN 'r' THEN 'pg_catalog.anyrange'::regtype
                                      WHEN 'm' THEN pg_catalog.to_regtype('pg_catalog.anymultirange')
                                  END
                 OR (t.typcategory = 'A' AND c.opcintype = 'pg_catalog.anyarray'::regtype)
                 OR EXISTS (SELECT FROM pg_catalog.pg_cast k
                            WHERE k.castsource = t.oid AND k.casttarget = c.opcintype
                              AND k.castmethod = 'b' AND k.castcontext = 'i'))
        JOIN pg_catalog.pg_amop o
            ON o.amopfamily = c.opcfamily
            AND o.amoplefttype = c.opcintype
            AND o.amoprighttype = c.opcintype
            AND o.amopstrategy = 3
        WHERE t.oid = p.oid
        ORDER BY c.opcintype = t.oid DESC, c.oid
        LIMIT 1
    ) AS found
),
-- The equality that a unique index itself goes by. The primary key's comes first. A key WITHOUT
-- OVERLAPS is no B-tree; its columns are equal by their types' own equality.
indexed AS (
    SELECT DISTINCT ON (i.indrelid, k.attnum) i.indrelid, k.attnum, o.amopopr
    FROM relation r
    -- That of a partitioned table is valid only once all of its partitions have theirs.
    JOIN pg_catalog.pg_index i
        ON i.indrelid = r.oid AND i.indisunique AND (i.indisvalid OR r.relkind = 'p')
    CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[])
        WITH ORDINALITY AS k (attnum, opclass, place)
    LEFT JOIN pg_catalog.pg_opclass c ON c.oid = k.opclass AND c.opcmethod = 403
    LEFT JOIN pg_catalog.pg_amop o
        ON o.amopfamily = c.opcfamily
        AND o.amoplefttype = c.opcintype
        AND o.amoprighttype = c.opcintype
        AND o.amopstrategy = 3
    WHERE k.place <= i.indnkeyatts AND k.attnum > 0
    ORDER BY i.indrelid, k.attnum, i.indisprimary DESC, i.indisreplident DESC, i.indexrelid
)
SELECT r.schema,
       r.name,
       r.relkind = 'p' AS partitioned,
       a.attname::text AS "column",
       tn.nspname::text AS type_schema,
       t.typname::text AS type_name,
       p.nspname::text AS base_schema,
       p.typname::text AS base_name,
       a.atttypmod AS type_modifier,
       a.attgenerated <> '' AS generated,
       a.attidentity = 'a' AS identity_always,
       x.attnum IS NOT NULL AS in_unique_index,
       inn.nspname::text AS input_schema,
       input.proname::text AS input_name,
       CASE WHEN input.pronargs > 1 THEN p.io_parameter END AS input_parameter,
       opn.nspname::text AS operator_schema,
       op.oprname::text AS operator
FROM relation r
LEFT JOIN attribute a ON a.attrelid = r.oid
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN plain p ON p.type = a.atttypid
LEFT JOIN indexed x ON x.indrelid = r.oid AND x.attnum = a.attnum
LEFT JOIN comparable c ON c.oid = p.base
LEFT JOIN comparable ce ON ce.oid = p.element
-- What reads a text, where a cast from text would call another function.
LEFT JOIN pg_catalog.pg_cast k
    ON k.castsource = 'pg_catalog.text'::regtype AND k.casttarget = p.base AND k.castmethod = 'f'
LEFT JOIN pg_catalog.pg_proc input ON input.oid = p.typinput AND k.oid IS NOT NULL
LEFT JOIN pg_catalog.pg_namespace inn ON inn.oid = input.pronamespace
LEFT JOIN pg_catalog.pg_operator op
    ON op.oid = COALESCE(x.amopopr,
                         CASE WHEN p.element = 0 OR ce.oid IS NOT NULL THEN c.amopopr END)
LEFT JOIN pg_catalog.pg_namespace opn ON opn.oid = op.oprnamespace
ORDER BY r.oid, a.attnum
