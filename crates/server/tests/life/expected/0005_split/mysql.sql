-- 0005_split in the words of mysql, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

ALTER TABLE `posts` DROP CONSTRAINT `posts_status_values`;

ALTER TABLE `posts` MODIFY COLUMN `status` varchar(9) NOT NULL DEFAULT ('draft'), ADD CONSTRAINT `posts_status_values` CHECK (`status` IN ('draft', 'published', 'archived'));

ALTER TABLE `users` DROP CONSTRAINT `users_name_max`, MODIFY COLUMN `name` longtext NOT NULL DEFAULT ('Somebody');

ALTER TABLE `users` DROP CONSTRAINT `users_name_min`;

ALTER TABLE `users` ADD COLUMN `given_name` longtext NOT NULL DEFAULT ('Somebody');

ALTER TABLE `users` ADD COLUMN `family_name` longtext NOT NULL DEFAULT ('');

-- the name's two parts: again and again for the next 1000 keys, each time in a transaction of its own, 0 ms apart
UPDATE `users` SET `family_name` = (substr(name, locate(' ', concat(name, ' ')) + 1)), `given_name` = (substring_index(name, ' ', 1)) WHERE (`id`) is among them;

ALTER TABLE `users` DROP COLUMN `name`;

ALTER TABLE `users` MODIFY COLUMN `family_name` varchar(100) NOT NULL DEFAULT (''), ADD CONSTRAINT `users_family_name_max` CHECK (CHAR_LENGTH(`family_name`) <= 100);

ALTER TABLE `users` MODIFY COLUMN `given_name` varchar(100) NOT NULL DEFAULT ('Somebody'), ADD CONSTRAINT `users_given_name_max` CHECK (CHAR_LENGTH(`given_name`) <= 100);

ALTER TABLE `users` ADD CONSTRAINT `users_given_name_min` CHECK (CHAR_LENGTH(`given_name`) >= 1);

-- what is old goes to the archive
UPDATE posts SET status = 'archived' WHERE title = 'Third';
