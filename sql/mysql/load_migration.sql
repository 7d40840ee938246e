SELECT m.format, m.source, m.selection, m.phase, m.owns_schema, m.archive IS NOT NULL,
       m.snapshot, c.position, m.cutover
FROM dunlin.migration AS m
JOIN dunlin.checkpoint AS c ON c.migration = m.name
WHERE m.name =
