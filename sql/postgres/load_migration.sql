SELECT m.format, m.source::text AS source, m.selection::text AS selection, m.phase, m.owns_schema,
       m.archive IS NOT NULL AS schema_made,
       m.snapshot::text AS snapshot, c.position::text AS position,
       m.cutover::text AS cutover
FROM dunlin.migration AS m
JOIN dunlin.checkpoint AS c ON c.migration = m.name
WHERE m.name = $1
