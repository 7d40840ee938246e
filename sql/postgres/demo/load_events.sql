-- `demo.per_mille` says how many thousandths of the full size are loaded.

INSERT INTO metrics.events
SELECT
    n % 500,
    timestamptz '2026-01-01 00:00+00'
        + n * (interval '100 days' / (current_setting('demo.per_mille')::bigint * 700)),
    CASE n % 3 WHEN 0 THEN 'start' WHEN 1 THEN 'stop' ELSE 'measure' END,
    sqrt(n),
    CASE n % 10 WHEN 0 THEN jsonb_build_object('n', n) END
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 700) AS n;

INSERT INTO shop.visits
SELECT '/page/' || n % 40, n % 100, timestamptz '2026-03-01 00:00+00' + (n % 50) * interval '1 second'
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 5) AS n;

INSERT INTO shop.seats
SELECT n, n * 10, 'guest ' || n FROM generate_series(1, 500) AS n;

INSERT INTO shop.staging (payload)
SELECT 'first load ' || n FROM generate_series(1, 500) AS n;

INSERT INTO "Shop Floor"."Machine ""Log""" ("Größe", "when", "select")
SELECT CASE n % 50 WHEN 0 THEN 'NaN' ELSE n * 1.000000001 END,
    CASE n % 60 WHEN 0 THEN timestamptz 'infinity' ELSE timestamptz '2026-02-01 00:00+00' END,
    n * interval '1 month 2 days 3.5 seconds'
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 20) AS n;
