-- The database that the demo moves: one of each thing that is easily lost. What only one of the two
-- flavours knows stands in comments that only that one reads.

-- The tables of TPC-B. The history has no key: rows are only ever added.
CREATE TABLE branch (id INT PRIMARY KEY, balance BIGINT NOT NULL, filler CHAR(88) NOT NULL);
CREATE TABLE teller (
    id INT PRIMARY KEY, branch INT NOT NULL, balance BIGINT NOT NULL, filler CHAR(84) NOT NULL
);
CREATE TABLE account (
    id INT PRIMARY KEY, branch INT NOT NULL, balance INT NOT NULL, filler CHAR(84) NOT NULL
);
CREATE TABLE history (
    teller INT, branch INT, account INT, delta INT, at DATETIME(6), filler CHAR(22)
);

CREATE TABLE customer (
    id BINARY(16) PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    email VARCHAR(120) CHARACTER SET latin1 NOT NULL,
    known_as VARCHAR(120) CHARACTER SET latin1 GENERATED ALWAYS AS (LOWER(email)) VIRTUAL,
    tags SET('regular', 'wholesale', 'a''b', 'größe') NOT NULL DEFAULT '',
    preferences JSON,
    balance DOUBLE,
    joined DATE NOT NULL
) CHARACTER SET utf8mb4 COMMENT 'Who orders';

CREATE TABLE orders (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    customer BINARY(16) NOT NULL,
    state ENUM('new', 'paid', 'packed', 'sent', 'returned') NOT NULL DEFAULT 'new',
    total DECIMAL(12, 2) NOT NULL,
    net DECIMAL(12, 2) GENERATED ALWAYS AS (ROUND(total / 1.2, 2)) STORED,
    details JSON NOT NULL,
    delivery TIME(3),
    sender VARBINARY(16),
    signature TINYBLOB,
    placed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    changed_at DATETIME(6),
    CHECK (total >= 0)
) AUTO_INCREMENT = 1000;

CREATE TABLE order_line (
    order_id BIGINT NOT NULL,
    line SMALLINT NOT NULL,
    sku VARCHAR(20) NOT NULL,
    price DECIMAL(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

-- Written by triggers, so that a trigger that fires on the target too would show as a difference.
CREATE TABLE order_audit (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    order_id BIGINT NOT NULL,
    what VARCHAR(10) NOT NULL,
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
);

-- No key at all, and equal rows: the whole old row is its identity.
CREATE TABLE visit (page VARCHAR(40), visitor INT, seen_at DATETIME, KEY (page));

CREATE TABLE document (id INT PRIMARY KEY, title VARCHAR(80) NOT NULL, body MEDIUMTEXT NOT NULL);

-- Unique values that change places.
CREATE TABLE seat (id INT PRIMARY KEY, place INT NOT NULL UNIQUE, guest VARCHAR(40));

-- Emptied and filled again.
CREATE TABLE staging (id INT AUTO_INCREMENT PRIMARY KEY, payload TEXT NOT NULL);

CREATE TABLE `machine ``log``` (
    `entry no` BIGINT AUTO_INCREMENT PRIMARY KEY,
    `größe` DECIMAL(30, 9),
    `when` DATETIME(6) NOT NULL,
    `select` TIME(6)
);

CREATE TABLE event (
    device INT NOT NULL,
    at DATETIME(6) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    reading DOUBLE,
    payload JSON,
    PRIMARY KEY (device, at)
) PARTITION BY RANGE COLUMNS (at) (
    PARTITION january VALUES LESS THAN ('2026-02-01'),
    PARTITION february VALUES LESS THAN ('2026-03-01'),
    PARTITION march VALUES LESS THAN ('2026-04-01'),
    PARTITION later VALUES LESS THAN (MAXVALUE)
);

-- A column of every type.
CREATE TABLE kind (
    id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, su SMALLINT UNSIGNED,
    m MEDIUMINT, mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED ZEROFILL,
    b BIGINT, bu BIGINT UNSIGNED, truth BOOLEAN,
    d DECIMAL(65, 30), du DECIMAL(9, 9) UNSIGNED, f FLOAT, g DOUBLE,
    bit1 BIT(1), bit33 BIT(33), bit64 BIT(64),
    day DATE, clock TIME, clock6 TIME(6), moment DATETIME, moment6 DATETIME(6),
    instant TIMESTAMP NULL, instant3 TIMESTAMP(3) NULL, y YEAR,
    c CHAR(5), v VARCHAR(40), latin VARCHAR(20) CHARACTER SET latin1,
    chinese VARCHAR(20) CHARACTER SET gbk, wide VARCHAR(20) CHARACTER SET utf16,
    tiny TINYTEXT, plain TEXT, medium MEDIUMTEXT, large LONGTEXT,
    fixed BINARY(8), varied VARBINARY(20),
    tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB,
    e ENUM('one', 'two', 'größe'), members SET('a', 'b', 'c'),
    j JSON, shape GEOMETRY, spot POINT, line LINESTRING, area POLYGON,
    unseen INT INVISIBLE
    /*!90000 , embedding VECTOR(4) */
    /*M!100500 , six INET6 */
    /*M!100700 , uid UUID */
    /*M!101000 , four INET4 */
    /*M!110701 , embedding VECTOR(4) */
) CHARACTER SET utf8mb4;
