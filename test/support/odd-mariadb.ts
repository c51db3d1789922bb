/** Definitions and rows that have gone wrong somewhere: every kind of value, name and object. For a database that is in use. */
export const oddDatabase = `
SET NAMES utf8mb4; SET time_zone = '+00:00'; SET foreign_key_checks = 0; SET sql_mode = '';
CREATE TABLE \`numbers\` (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, f FLOAT, f2 FLOAT(9,3), d DOUBLE, d2 DOUBLE(12,4), m DECIMAL(65,30), b BIT(64), b1 BIT(1), y YEAR,
  twice BIGINT AS (z * 2) VIRTUAL, thrice BIGINT AS (z * 3) STORED, hidden INT INVISIBLE DEFAULT 7, z INT(5) ZEROFILL, KEY(twice), UNIQUE KEY(thrice)
) ENGINE=InnoDB;
INSERT INTO numbers (id, f, f2, d, d2, m, b, b1, y, hidden, z) VALUES
  (1, 16777216, 123456.789, 1.7976931348623157e308, 0.1, 99999999999999999999999999999999999.999999999999999999999999999999, 0xFFFFFFFFFFFFFFFF, 1, 2155, NULL, 1),
  (2, 3.4028234e38, -0.001, -0.0, -1e7, -0.000000000000000000000000000001, 0x00, 0, 1901, 0, 99999),
  (3, 1.1754944e-38, 0, 5e-324, 0.3333, 0, 0x0A09005C, 1, 0, -5, 0), (9007199254740993, 0.1, NULL, 0.30000000000000004, NULL, NULL, NULL, NULL, NULL, 9, NULL);
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; INSERT INTO numbers (id, f) VALUES (0, 3333333248); SET sql_mode = '';
CREATE TABLE texts (
  a VARCHAR(20) CHARACTER SET latin1 NOT NULL, n INT NOT NULL, u TEXT CHARACTER SET utf8mb4, l TEXT CHARACTER SET latin1, w VARCHAR(50) CHARACTER SET utf16, v VARCHAR(50) CHARACTER SET utf32,
  s VARCHAR(50) CHARACTER SET sjis, bin VARBINARY(300), bl LONGBLOB, j JSON, e ENUM('é', 'b,c', '''q') CHARACTER SET latin1, st SET('x', 'ü') CHARACTER SET utf8mb4, c CHAR(10) CHARACTER SET utf8mb4, PRIMARY KEY (n DESC, a)
) ENGINE=InnoDB COMMENT='it''s a \\\\ comment
with AUTO_INCREMENT=5 ';
INSERT INTO texts VALUES
  ('Ärger', 1, '😀 \\'quoted\\' "double" \`back\`', 'é', 'ü', '😀', '表', 0x00010203090A0D5C1AFF, REPEAT(0x5C4E0A, 5000), '{"a": [1, "\\\\u0000"]}', 'é', 'x,ü', 'tail  '),
  ('a', 1, '\\\\N', '\\\\', '', NULL, '', '', '', NULL, '', '', ''), ('b', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('c', 3, '\\t\\n\\r\\0\\Z', 'x', 'y', 'z', 'ソ', 0xC328A0A1, NULL, '1', 'b,c', 'x', 'ß');
SET GLOBAL max_allowed_packet = 67108864;
CREATE TABLE times (d DATE, t TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, tz TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00') ENGINE=InnoDB;
INSERT INTO times VALUES ('0000-00-00', '-838:59:59.999999', '0000-00-00 00:00:00', NULL, '0000-00-00 00:00:00'), ('2024-00-31', '838:59:59', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', '1970-01-01 00:00:01'),
  (NULL, NULL, NULL, NULL, '2024-03-31 01:30:00'), (NULL, NULL, NULL, NULL, '2024-03-31 01:30:00');
CREATE TABLE shapes (id UUID PRIMARY KEY, i4 INET4, i6 INET6, g GEOMETRY NOT NULL, p POINT, SPATIAL KEY (g)) ENGINE=InnoDB;
INSERT INTO shapes VALUES ('550e8400-e29b-41d4-a716-446655440000', '10.0.0.1', '::ffff:1.2.3.4', ST_GeomFromText('POLYGON((0 0, 0 9, 9 9, 0 0))', 4326), POINT(1, -0.0)), (UUID(), NULL, NULL, POINT(9, 10), NULL);
CREATE TABLE \`we\`\`ird ../näme "x"\` (\`select\` INT, \`from\` VARCHAR(10) DEFAULT 'a''b', FULLTEXT KEY (\`from\`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO \`we\`\`ird ../näme "x"\` VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
CREATE TABLE empty_one (a INT) ENGINE=InnoDB;
CREATE TABLE parts (id INT NOT NULL, k INT NOT NULL, PRIMARY KEY (id, k)) ENGINE=InnoDB PARTITION BY RANGE (k) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parts SELECT seq, seq % 20 FROM seq_1_to_60;
CREATE TABLE old_engine (id INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(20)) ENGINE=MyISAM; INSERT INTO old_engine (t) VALUES ('one'), ('two');
CREATE TABLE history (id INT PRIMARY KEY, v INT) ENGINE=InnoDB WITH SYSTEM VERSIONING;
INSERT INTO history VALUES (1, 1), (2, 2); UPDATE history SET v = 3 WHERE id = 1; DELETE FROM history WHERE id = 2;
CREATE TABLE customer (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), best INT, KEY (best)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, parent INT, note TEXT, seen INT NOT NULL DEFAULT 0, KEY (customer), CONSTRAINT fk_customer FOREIGN KEY (customer) REFERENCES customer (id) ON DELETE CASCADE,
  CONSTRAINT fk_parent FOREIGN KEY (parent) REFERENCES orders (id) ON DELETE SET NULL ON UPDATE CASCADE) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
ALTER TABLE customer ADD CONSTRAINT fk_best FOREIGN KEY (best) REFERENCES orders (id) ON DELETE SET NULL;
CREATE TABLE items (id INT PRIMARY KEY, orders_id INT, sku VARCHAR(20), CHECK (sku <> ''), CONSTRAINT fk_items FOREIGN KEY (orders_id) REFERENCES orders (id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE audit (n INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(100)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO customer VALUES (1, 'Ada', NULL), (2, 'Grace', NULL); INSERT INTO orders (id, customer, parent, note) VALUES (10, 1, NULL, 'first'), (11, 1, 10, 'second'), (12, 2, NULL, NULL);
UPDATE customer SET best = 11 WHERE id = 1; INSERT INTO items VALUES (1, 10, 'a'), (2, 11, 'b'), (3, 12, 'c');
CREATE SEQUENCE counter START WITH 100 INCREMENT BY 5 CACHE 10; DO NEXTVAL(counter);
CREATE TABLE numbered (n BIGINT DEFAULT (NEXT VALUE FOR counter), t VARCHAR(10)) ENGINE=InnoDB; INSERT INTO numbered (t) VALUES ('x');
CREATE FUNCTION double_it(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;
CREATE VIEW a_view AS SELECT id, double_it(id) twice FROM z_view; 
`
  .replace('CREATE VIEW a_view', 'CREATE VIEW z_view AS SELECT id, note FROM orders; CREATE VIEW a_view')
  .concat(
    "SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'; CREATE PROCEDURE shout(IN \"w\" TEXT) COMMENT 'loud' BEGIN SELECT \"w\" || '!' AS said; END; SET sql_mode = '';",
    "CREATE TRIGGER orders_first BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = CONCAT(COALESCE(NEW.note, ''), '+');",
    "create   trigger orders_second BEFORE INSERT ON orders for each row SET NEW.note = CONCAT(NEW.note, 'ü');",
    "CREATE TRIGGER orders_log AFTER UPDATE ON orders FOR EACH ROW INSERT INTO audit (what) VALUES (CONCAT('order ', NEW.id));",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'it''s' DO DELETE FROM audit WHERE n < 0;",
  )

/** Rows, a table, keys, triggers and code that change; another `seed` changes them otherwise. */
export function oddChange(seed: number): string {
  return `
SET sql_mode = ''; UPDATE texts SET u = CONCAT(COALESCE(u, ''), 'changed ${seed}') WHERE n = 2; DELETE FROM parts WHERE id % 7 = ${seed % 7};
INSERT INTO orders (customer, note) VALUES (2, 'new ${seed}'); UPDATE orders SET seen = seen + ${seed}; DELETE FROM items WHERE id = 3;
INSERT INTO old_engine (t) VALUES ('more ${seed}'); UPDATE history SET v = v + ${seed}; DO NEXTVAL(counter);
CREATE TABLE added_${seed} (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO added_${seed} VALUES (${seed}); DROP TABLE empty_one;
DROP TRIGGER orders_log; CREATE TRIGGER customer_log AFTER DELETE ON customer FOR EACH ROW INSERT INTO audit (what) VALUES (OLD.name);
CREATE OR REPLACE VIEW z_view AS SELECT id, note, ${seed} extra FROM orders; DROP FUNCTION double_it; CREATE FUNCTION double_it(x INT) RETURNS INT DETERMINISTIC RETURN x + x;
DROP EVENT nightly; ALTER TABLE times ADD COLUMN extra INT DEFAULT ${seed};`
}
