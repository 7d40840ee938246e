-- Beside what every session has: bytes travel as they are, nothing is converted between us and the
-- server; its answers are in one language; a row that somebody else wrote is seen once it is committed.
SET NAMES binary;
SET SESSION lc_messages = 'en_US';
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
