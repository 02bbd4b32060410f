-- 0002_add in the words of mysql, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

CREATE TABLE `series` (
  `id` binary(16) NOT NULL,
  `title` varchar(200) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE INDEX `series_title_key` (`title`),
  CONSTRAINT `series_title_max` CHECK (CHAR_LENGTH(`title`) <= 200),
  CONSTRAINT `series_title_min` CHECK (CHAR_LENGTH(`title`) >= 1)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

ALTER TABLE `posts` ADD COLUMN `reading_minutes` bigint NULL;

ALTER TABLE `posts` ADD COLUMN `summary` varchar(300) NOT NULL DEFAULT ('');

ALTER TABLE `posts` ADD COLUMN `series_id` binary(16) NULL;

ALTER TABLE `posts` ADD CONSTRAINT `posts_reading_minutes_min` CHECK (`reading_minutes` >= 1);

ALTER TABLE `posts` MODIFY COLUMN `summary` varchar(300) NOT NULL DEFAULT (''), ADD CONSTRAINT `posts_summary_max` CHECK (CHAR_LENGTH(`summary`) <= 300);

ALTER TABLE `posts` ADD CONSTRAINT `posts_series_id_fkey` FOREIGN KEY (`series_id`) REFERENCES `series` (`id`) ON DELETE SET NULL;

ALTER TABLE `posts` ADD INDEX `posts_series_id_idx` (`series_id`);

-- minutes from the length: again and again for the next 2 keys, each time in a transaction of its own, 0 ms apart
UPDATE `posts` SET `reading_minutes` = (1 + char_length(body) DIV 10) WHERE (`id`) is among them AND (reading_minutes IS NULL);
