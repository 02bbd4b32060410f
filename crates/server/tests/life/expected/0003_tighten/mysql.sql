-- 0003_tighten in the words of mysql, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

-- what is too long is cut
UPDATE comments SET body = substr(body, 1, 20);

ALTER TABLE `comments` DROP CONSTRAINT `comments_body_max`;

ALTER TABLE `comments` MODIFY COLUMN `body` varchar(20) NOT NULL, ADD CONSTRAINT `comments_body_max` CHECK (CHAR_LENGTH(`body`) <= 20);

ALTER TABLE `posts` MODIFY COLUMN `reading_minutes` bigint NOT NULL;

ALTER TABLE `posts` ADD CONSTRAINT `posts_reading_minutes_max` CHECK (`reading_minutes` <= 600);

ALTER TABLE `users` ADD UNIQUE INDEX `users_email_key` (`email`);
