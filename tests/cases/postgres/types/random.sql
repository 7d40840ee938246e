-- What random values are made of, for the session that runs this.

-- A whole number between two others.
CREATE FUNCTION pg_temp.whole(low float8, high float8) RETURNS numeric LANGUAGE sql VOLATILE AS
    'SELECT floor(low + random() * (high - low + 1))::numeric';

-- A fraction of any size.
CREATE FUNCTION pg_temp.real(digits int) RETURNS float8 LANGUAGE sql VOLATILE AS
    'SELECT (random() - 0.5) * power(10, (random() * 2 - 1) * digits)';

CREATE FUNCTION pg_temp.pick(VARIADIC texts text[]) RETURNS text LANGUAGE sql VOLATILE AS
    'SELECT texts[1 + floor(random() * cardinality(texts))]';

-- A text of what has a meaning somewhere: in COPY, arrays, rows, JSON, XML, patterns.
CREATE FUNCTION pg_temp.word(longest int) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(string_agg(pg_temp.pick(
               'a', 'B', ' ', '  ', ',', '"', '''', '\', '\N', '\.', '{', '}', '(', ')', '[', ']', E'\t', E'\n',
               E'\r', ';', ':', '%', '$1', 'NULL', 'null', '=>', '<', '&', '.', 'é', 'ß', 'İ', '鍵', '🦆', E'\u0301'),
               ''), '')
    FROM generate_series(1, floor(random() * longest)::int)
$$;

CREATE FUNCTION pg_temp.bytes(longest int) RETURNS bytea LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(decode(string_agg(lpad(to_hex(pg_temp.whole(0, 255)::int), 2, '0'), ''), 'hex'), '')
    FROM generate_series(1, floor(random() * longest)::int)
$$;

-- The bounds of a range: two in order, or none on either side.
CREATE FUNCTION pg_temp.bounds() RETURNS text LANGUAGE sql VOLATILE AS
    $$ SELECT pg_temp.pick('[]', '[)', '(]', '()') $$;

-- A value in arrays of every shape, by number: odd bounds, NULLs, dimensions, nothing at all.
CREATE FUNCTION pg_temp.array_of(number int, value text, delimiter "char") RETURNS text
LANGUAGE sql AS $$
    SELECT format(CASE number % 7
        WHEN 0 THEN '{}'
        WHEN 1 THEN '{%1$s}'
        WHEN 2 THEN '{NULL%2$s%1$s%2$sNULL}'
        WHEN 3 THEN '[-3:-2]={%1$s%2$s%1$s}'
        WHEN 4 THEN '[7:8][-1:1]={{%1$s%2$sNULL%2$s%1$s}%2$s{NULL%2$sNULL%2$s%1$s}}'
        WHEN 5 THEN '{{{%1$s%2$s%1$s}}%2$s{{%1$s%2$sNULL}}}'
    END, quoted.q, delimiter)
    FROM (SELECT coalesce('"' || replace(replace(value, '\', '\\'), '"', '\"') || '"', 'NULL'))
        AS quoted (q)
$$
