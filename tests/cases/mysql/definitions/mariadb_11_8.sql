-- What MariaDB can define since 11.8. A blank line ends each statement.

CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3) NOT NULL, KEY (id), VECTOR KEY near (v) M = 8 DISTANCE = cosine)

CREATE TABLE of_today (id INT PRIMARY KEY, w VARCHAR(9), KEY (w)) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_as_cs

INSERT INTO vectors VALUES (1, VEC_FromText('[1, 2, 3]'))

CREATE FUNCTION defaulted (a INT, b INT DEFAULT 5) RETURNS INT DETERMINISTIC RETURN a + b
