-- What MariaDB has since 11.7.

CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3));
INSERT INTO vectors VALUES (1, VEC_FromText('[1, -0.5, 1.5e-38]')), (2, NULL);
