-- 0006_drop in the words of postgres, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

-- the archive is no state any more
UPDATE posts SET status = 'draft' WHERE status = 'archived';

ALTER TABLE "comments" DROP CONSTRAINT "comments_author_id_fkey";

DROP INDEX "posts_author_id_idx";

DROP INDEX "posts_status_created_at_idx";

ALTER TABLE "comments" ALTER COLUMN "author_id" DROP NOT NULL;

ALTER TABLE "posts" DROP CONSTRAINT "posts_status_values";

ALTER TABLE "posts" ADD CONSTRAINT "posts_status_values" CHECK ("status" IN ('draft', 'published'));

ALTER TABLE "users" DROP CONSTRAINT "users_avatar_url_max";

ALTER TABLE "users" DROP COLUMN "avatar_url";

CREATE INDEX "posts_author_id_created_at_idx" ON "posts" ("author_id", "created_at" DESC, "id");

ALTER TABLE "comments" ADD CONSTRAINT "comments_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "users" ("id") ON DELETE SET NULL;
