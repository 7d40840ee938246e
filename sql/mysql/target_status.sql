SELECT c.epoch, s.report,
       TIMESTAMPDIFF(MICROSECOND, s.updated_at, UTC_TIMESTAMP(6)) / 1e6,
       TIMESTAMPDIFF(MICROSECOND, c.committed_at, UTC_TIMESTAMP(6)) / 1e6,
       TIMESTAMPDIFF(MICROSECOND, GREATEST(
           m.created_at, COALESCE(c.applied_at, m.created_at), COALESCE(s.updated_at, m.created_at),
           COALESCE((SELECT MAX(h.finished_at) FROM dunlin.chunk AS h WHERE h.migration = m.name),
                    m.created_at),
           COALESCE((SELECT MAX(b.finished_at) FROM dunlin.build AS b WHERE b.migration = m.name),
                    m.created_at)), UTC_TIMESTAMP(6)) / 1e6
FROM dunlin.migration AS m
JOIN dunlin.checkpoint AS c ON c.migration = m.name
LEFT JOIN dunlin.status AS s ON s.migration = m.name
WHERE m.name =
