-- 0006_drop in the words of sqlite, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

-- the archive is no state any more
UPDATE posts SET status = 'draft' WHERE status = 'archived';

DROP INDEX "posts_author_id_idx";

DROP INDEX "posts_status_created_at_idx";

CREATE TABLE "_undergird_new_comments" (
  "id" BLOB NOT NULL,
  "post_id" BLOB NOT NULL,
  "author_id" BLOB,
  "text" TEXT NOT NULL,
  "created_at" INTEGER NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "comments_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "users" ("id") ON DELETE SET NULL,
  CONSTRAINT "comments_post_id_fkey" FOREIGN KEY ("post_id") REFERENCES "posts" ("id") ON DELETE CASCADE,
  CONSTRAINT "comments_id_uuid" CHECK (length("id") = 16),
  CONSTRAINT "comments_post_id_uuid" CHECK (length("post_id") = 16),
  CONSTRAINT "comments_author_id_uuid" CHECK (length("author_id") = 16),
  CONSTRAINT "comments_text_max" CHECK (length("text") <= 20),
  CONSTRAINT "comments_text_min" CHECK (length("text") >= 1)
) STRICT;

INSERT INTO "_undergird_new_comments" ("id", "post_id", "author_id", "text", "created_at")
SELECT "id", "post_id", "author_id", "text", "created_at"
FROM "comments";

DROP TABLE "comments";

PRAGMA legacy_alter_table = ON;

ALTER TABLE "_undergird_new_comments" RENAME TO "comments";

PRAGMA legacy_alter_table = OFF;

CREATE INDEX "comments_author_id_idx" ON "comments" ("author_id", "id");

CREATE INDEX "comments_post_id_created_at_idx" ON "comments" ("post_id", "created_at", "id");

CREATE TABLE "_undergird_new_posts" (
  "id" BLOB NOT NULL,
  "title" TEXT NOT NULL,
  "slug" TEXT NOT NULL,
  "content" TEXT NOT NULL DEFAULT '',
  "status" TEXT NOT NULL DEFAULT 'draft',
  "author_id" BLOB NOT NULL,
  "published_at" INTEGER,
  "reading_minutes" INTEGER NOT NULL,
  "summary" TEXT NOT NULL DEFAULT '',
  "series_id" BLOB,
  "created_at" INTEGER NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "posts_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "users" ("id") ON DELETE CASCADE,
  CONSTRAINT "posts_series_id_fkey" FOREIGN KEY ("series_id") REFERENCES "columns" ("id") ON DELETE SET NULL,
  CONSTRAINT "posts_id_uuid" CHECK (length("id") = 16),
  CONSTRAINT "posts_author_id_uuid" CHECK (length("author_id") = 16),
  CONSTRAINT "posts_series_id_uuid" CHECK (length("series_id") = 16),
  CONSTRAINT "posts_check_1" CHECK ("status" <> 'published' OR length("content") > 0),
  CONSTRAINT "posts_reading_minutes_max" CHECK ("reading_minutes" <= 600),
  CONSTRAINT "posts_reading_minutes_min" CHECK ("reading_minutes" >= 1),
  CONSTRAINT "posts_slug_max" CHECK (length("slug") <= 200),
  CONSTRAINT "posts_slug_min" CHECK (length("slug") >= 1),
  CONSTRAINT "posts_status_values" CHECK ("status" IN ('draft', 'published')),
  CONSTRAINT "posts_summary_max" CHECK (length("summary") <= 300),
  CONSTRAINT "posts_title_max" CHECK (length("title") <= 200),
  CONSTRAINT "posts_title_min" CHECK (length("title") >= 1)
) STRICT;

INSERT INTO "_undergird_new_posts" ("id", "title", "slug", "content", "status", "author_id", "published_at", "reading_minutes", "summary", "series_id", "created_at")
SELECT "id", "title", "slug", "content", "status", "author_id", "published_at", "reading_minutes", "summary", "series_id", "created_at"
FROM "posts";

DROP TABLE "posts";

PRAGMA legacy_alter_table = ON;

ALTER TABLE "_undergird_new_posts" RENAME TO "posts";

PRAGMA legacy_alter_table = OFF;

CREATE INDEX "posts_author_id_created_at_idx" ON "posts" ("author_id", "created_at" DESC, "id");

CREATE INDEX "posts_series_id_idx" ON "posts" ("series_id", "id");

CREATE UNIQUE INDEX "posts_slug_key" ON "posts" ("slug");

CREATE TABLE "_undergird_new_users" (
  "id" BLOB NOT NULL,
  "given_name" TEXT NOT NULL DEFAULT 'Somebody',
  "family_name" TEXT NOT NULL DEFAULT '',
  "email" TEXT,
  "bio" TEXT NOT NULL DEFAULT '',
  "created_at" INTEGER NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "users_id_uuid" CHECK (length("id") = 16),
  CONSTRAINT "users_bio_max" CHECK (length("bio") <= 2000),
  CONSTRAINT "users_email_max" CHECK (length("email") <= 254),
  CONSTRAINT "users_family_name_max" CHECK (length("family_name") <= 100),
  CONSTRAINT "users_given_name_max" CHECK (length("given_name") <= 100),
  CONSTRAINT "users_given_name_min" CHECK (length("given_name") >= 1)
) STRICT;

INSERT INTO "_undergird_new_users" ("id", "given_name", "family_name", "email", "bio", "created_at")
SELECT "id", "given_name", "family_name", "email", "bio", "created_at"
FROM "users";

DROP TABLE "users";

PRAGMA legacy_alter_table = ON;

ALTER TABLE "_undergird_new_users" RENAME TO "users";

PRAGMA legacy_alter_table = OFF;

CREATE UNIQUE INDEX "users_email_key" ON "users" ("email");
