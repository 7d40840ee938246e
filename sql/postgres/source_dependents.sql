-- Everything that cannot exist without the named relations: their types, functions over these,
-- foreign keys to them, views, defaults, triggers. A table is no dependent: where one needs a
-- type that is left out, creating it fails with its name.
WITH RECURSIVE gone (class, oid) AS (
    SELECT 'pg_catalog.pg_class'::regclass::oid, c.oid
    FROM unnest($1::text[], $2::text[]) AS w (schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
    UNION
    SELECT e.class, e.oid
    FROM gone g
    JOIN pg_catalog.pg_depend d
        ON d.refclassid = g.class AND d.refobjid = g.oid AND d.deptype IN ('n', 'a', 'i')
    LEFT JOIN pg_catalog.pg_rewrite w
        ON d.classid = 'pg_catalog.pg_rewrite'::regclass
        AND w.oid = d.objid
        AND w.rulename = '_RETURN'
    CROSS JOIN LATERAL (VALUES (d.classid, d.objid),
                               ('pg_catalog.pg_class'::regclass::oid, w.ev_class)) e (class, oid)
    WHERE e.oid IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_class c
          WHERE e.class = 'pg_catalog.pg_class'::regclass
            AND c.oid = e.oid
            AND c.relkind IN ('r', 'p', 'f'))
)
SELECT class, oid FROM gone
