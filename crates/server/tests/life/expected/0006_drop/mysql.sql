-- 0006_drop in the words of mysql, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

-- the archive is no state any more
UPDATE posts SET status = 'draft' WHERE status = 'archived';

ALTER TABLE `posts` DROP INDEX `posts_author_id_idx`;

ALTER TABLE `posts` DROP INDEX `posts_status_created_at_idx`;

ALTER TABLE `comments` DROP FOREIGN KEY `comments_author_id_fkey`;

ALTER TABLE `comments` MODIFY COLUMN `author_id` binary(16) NULL;

ALTER TABLE `comments` ADD CONSTRAINT `comments_author_id_fkey` FOREIGN KEY (`author_id`) REFERENCES `users` (`id`) ON DELETE SET NULL;

ALTER TABLE `posts` DROP CONSTRAINT `posts_status_values`;

ALTER TABLE `posts` MODIFY COLUMN `status` varchar(9) NOT NULL DEFAULT ('draft'), ADD CONSTRAINT `posts_status_values` CHECK (`status` IN ('draft', 'published'));

ALTER TABLE `users` DROP CONSTRAINT `users_avatar_url_max`;

ALTER TABLE `users` DROP COLUMN `avatar_url`;

ALTER TABLE `posts` ADD INDEX `posts_author_id_created_at_idx` (`author_id`, `created_at` DESC);
