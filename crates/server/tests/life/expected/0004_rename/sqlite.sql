-- 0004_rename in the words of sqlite, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

ALTER TABLE "series" RENAME TO "columns";

ALTER TABLE "comments" RENAME COLUMN "body" TO "text";

ALTER TABLE "posts" RENAME COLUMN "body" TO "content";

DROP INDEX "series_title_key";

CREATE TABLE "_undergird_new_columns" (
  "id" BLOB NOT NULL,
  "title" TEXT NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "columns_id_uuid" CHECK (length("id") = 16),
  CONSTRAINT "columns_title_max" CHECK (length("title") <= 200),
  CONSTRAINT "columns_title_min" CHECK (length("title") >= 1)
) STRICT;

INSERT INTO "_undergird_new_columns" ("id", "title")
SELECT "id", "title"
FROM "columns";

DROP TABLE "columns";

PRAGMA legacy_alter_table = ON;

ALTER TABLE "_undergird_new_columns" RENAME TO "columns";

PRAGMA legacy_alter_table = OFF;

CREATE UNIQUE INDEX "columns_title_key" ON "columns" ("title");

CREATE TABLE "_undergird_new_comments" (
  "id" BLOB NOT NULL,
  "post_id" BLOB NOT NULL,
  "author_id" BLOB NOT NULL,
  "text" TEXT NOT NULL,
  "created_at" INTEGER NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "comments_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "users" ("id") ON DELETE CASCADE,
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
