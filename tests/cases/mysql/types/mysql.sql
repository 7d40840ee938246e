-- What only MySQL has.

CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3));
INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1, -0.5, 1.5e-38]')), (2, NULL);

-- Values that no JSON text has: they keep their own type.
INSERT INTO documents VALUES
    (11, JSON_ARRAY(CAST(1.10 AS DECIMAL(5, 2)), DATE '2026-01-02', TIME '-01:02:03.5',
                    TIMESTAMP '2026-01-02 03:04:05.000006')),
    (12, CAST(X'00FF' AS JSON));

CREATE TABLE hidden (id INT PRIMARY KEY, seen INT, unseen INT INVISIBLE);
INSERT INTO hidden (id, seen, unseen) VALUES (1, 2, 3), (2, 3, NULL);

SET sql_generate_invisible_primary_key = ON;
CREATE TABLE without_key (a INT);
INSERT INTO without_key VALUES (1), (1);
SET sql_generate_invisible_primary_key = OFF;
