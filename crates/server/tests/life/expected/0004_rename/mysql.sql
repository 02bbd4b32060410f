-- 0004_rename in the words of mysql, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

RENAME TABLE `series` TO `columns`;

ALTER TABLE `comments` DROP CONSTRAINT `comments_body_max`, DROP CONSTRAINT `comments_body_min`, RENAME COLUMN `body` TO `text`, ADD CONSTRAINT `comments_body_max` CHECK (CHAR_LENGTH(`text`) <= 20), ADD CONSTRAINT `comments_body_min` CHECK (CHAR_LENGTH(`text`) >= 1);

ALTER TABLE `posts` DROP CONSTRAINT `posts_check_1`, RENAME COLUMN `body` TO `content`, ADD CONSTRAINT `posts_check_1` CHECK ((NOT (`status` <=> 'published')) OR ((CHAR_LENGTH(`content`) > 0) IS TRUE));

ALTER TABLE `columns` DROP INDEX `series_title_key`;

ALTER TABLE `columns` DROP CONSTRAINT `series_title_max`;

ALTER TABLE `columns` DROP CONSTRAINT `series_title_min`;

ALTER TABLE `columns` MODIFY COLUMN `title` varchar(200) NOT NULL, ADD CONSTRAINT `columns_title_max` CHECK (CHAR_LENGTH(`title`) <= 200);

ALTER TABLE `columns` ADD CONSTRAINT `columns_title_min` CHECK (CHAR_LENGTH(`title`) >= 1);

ALTER TABLE `comments` DROP CONSTRAINT `comments_body_max`;

ALTER TABLE `comments` DROP CONSTRAINT `comments_body_min`;

ALTER TABLE `comments` MODIFY COLUMN `text` varchar(20) NOT NULL, ADD CONSTRAINT `comments_text_max` CHECK (CHAR_LENGTH(`text`) <= 20);

ALTER TABLE `comments` ADD CONSTRAINT `comments_text_min` CHECK (CHAR_LENGTH(`text`) >= 1);

ALTER TABLE `columns` ADD UNIQUE INDEX `columns_title_key` (`title`);
