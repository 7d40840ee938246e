-- What only MariaDB has, in every series of ours.

CREATE TABLE addresses (id INT PRIMARY KEY, u UUID, i4 INET4, i6 INET6);
INSERT INTO addresses VALUES
    (1, '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::'),
    (2, '123e4567-e89b-12d3-a456-426655440000', '255.255.255.255', '::ffff:1.2.3.4'),
    (3, NULL, NULL, NULL),
    (4, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '1.2.3.0', 'ffff::'),
    (5, '00112233-4455-1677-8899-aabbccddeeff', '10.0.0.1', '2001:db8::1:0:0:1'),
    (6, '00112233-4455-4677-b899-aabbccddee00', '127.0.0.1', '::1.2.3.4'),
    (7, '00112233-4455-6677-8899-aabbccddeeff', '0.0.0.1', '::1'),
    (8, '01890a5d-ac96-774b-bcce-b302099a8057', NULL, '::ffff:0:0'),
    (9, '00112233-4455-8677-a899-aabbccddeeff', NULL, NULL),
    (10, '00112233-4455-5677-5899-aabbccddeeff', NULL, NULL);

CREATE TABLE packed (
    id INT PRIMARY KEY, v VARCHAR(1000) COMPRESSED, t TEXT COMPRESSED, b LONGBLOB COMPRESSED
);
INSERT INTO packed VALUES
    (1, REPEAT('a', 1000), REPEAT('ß', 30000), REPEAT(X'00', 100000)), (2, '', '', ''),
    (3, NULL, NULL, NULL);

CREATE TABLE hidden (id INT PRIMARY KEY, seen INT, unseen INT INVISIBLE);
INSERT INTO hidden (id, seen, unseen) VALUES (1, 2, 3), (2, 3, NULL);

CREATE TABLE versioned (id INT PRIMARY KEY, a INT) WITH SYSTEM VERSIONING;
INSERT INTO versioned VALUES (1, 1);
UPDATE versioned SET a = 2;
