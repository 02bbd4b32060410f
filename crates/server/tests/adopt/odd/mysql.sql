-- Names, keys and types of every shape.
ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
SET SESSION sql_mode = '';
CREATE TABLE `Order` (
  `Order ID` int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  `select` varchar(50) NOT NULL DEFAULT 'it''s',
  `Größe` float,
  `2nd line` varchar(20) CHARACTER SET latin1,
  `orderId` smallint,
  placed datetime NOT NULL DEFAULT CURRENT_TIMESTAMP,
  sent timestamp NULL,
  day date,
  at time,
  paid tinyint(1) NOT NULL DEFAULT 0,
  mixed tinyint(1),
  flag bit(1) NOT NULL DEFAULT b'1',
  big bigint unsigned,
  price decimal(10,2) NOT NULL DEFAULT 1.5,
  wide decimal(30,4),
  state enum('new','paid','sent') NOT NULL DEFAULT 'new',
  likes set('tea','cake'),
  stars int CHECK (stars BETWEEN 1 AND 5),
  twice int GENERATED ALWAYS AS (stars * 2) VIRTUAL,
  data json,
  raw varbinary(10),
  made year,
  body text COMMENT 'What it says.',
  shape point,
  touched timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY by_body (body(10)),
  CONSTRAINT sent_is_paid CHECK (state <> 'sent' OR paid = 1)
) COMMENT='What was "ordered".';
CREATE TABLE person (code varchar(20) PRIMARY KEY, name text NOT NULL, boss varchar(20), friend varchar(20), FOREIGN KEY (boss) REFERENCES person(code) ON DELETE SET NULL, FOREIGN KEY (friend) REFERENCES person(code));
CREATE TABLE tag (id bigint AUTO_INCREMENT PRIMARY KEY, word varchar(20) UNIQUE NOT NULL);
CREATE TABLE person_tag (person varchar(20) NOT NULL, tag_id bigint NOT NULL, PRIMARY KEY (person, tag_id), FOREIGN KEY (person) REFERENCES person(code) ON DELETE CASCADE, FOREIGN KEY (tag_id) REFERENCES tag(id));
CREATE TABLE shelf (room int NOT NULL, place int NOT NULL, label text, PRIMARY KEY (room, place));
CREATE TABLE box (id int PRIMARY KEY, room int, place int, FOREIGN KEY (room, place) REFERENCES shelf (room, place));
CREATE INDEX by_place ON box (place, room);
CREATE TABLE log (at datetime, line text);
CREATE TABLE bare (a int, b int);
CREATE VIEW paid_orders AS SELECT `Order ID` AS id, price FROM `Order` WHERE paid = 1;
INSERT INTO `Order` (`select`, `Größe`, `2nd line`, placed, sent, day, at, paid, mixed, flag, big, price, wide, state, likes, stars, data, raw, made, body) VALUES
  ('a', 1.5, 'é', '2024-01-02 03:04:05', '2024-01-02 03:04:05', '2024-01-02', '03:04', 1, 2, 1, 18446744073709551615, 0.1, 1.5, 'sent', 'tea,cake', 5, '{ "b": 1, "a": [1.50] }', x'00ff', 2024, 'ÄBC'),
  ('b', NULL, NULL, '2024-01-03', NULL, '0000-00-00', '-10:00:00', 0, 0, 0, 7, 10, NULL, 'new', '', NULL, NULL, NULL, NULL, 'ab'),
  ('B', -2, 'x', '2023-12-31 23:59:59', NULL, '2023-12-31', '23:59:59', 1, NULL, 1, NULL, 9.99, NULL, 'paid', NULL, 1, '[]', '', NULL, 'AC');
INSERT INTO person VALUES ('ann', 'Ann', NULL, NULL), ('bob', 'Bob', 'ann', 'ann'), ('Cy', 'Cy', 'ann', 'bob');
INSERT INTO tag VALUES (1, 'red'), (2, 'blue');
INSERT INTO person_tag VALUES ('ann', 1), ('ann', 2), ('bob', 2);
INSERT INTO shelf VALUES (1, 1, 'a'), (1, 2, 'b');
INSERT INTO box VALUES (1, 1, 1), (2, 1, 2);
INSERT INTO log VALUES ('2024-01-01', 'x'), ('2024-01-02', 'x');
