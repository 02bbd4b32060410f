-- 0004_rename in the words of postgres, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

ALTER TABLE "series" RENAME TO "columns";

ALTER TABLE "columns" RENAME CONSTRAINT "series_pkey" TO "columns_pkey";

ALTER TABLE "comments" RENAME COLUMN "body" TO "text";

ALTER TABLE "posts" RENAME COLUMN "body" TO "content";

DROP INDEX "series_title_key";

ALTER TABLE "columns" DROP CONSTRAINT "series_title_max";

ALTER TABLE "columns" DROP CONSTRAINT "series_title_min";

ALTER TABLE "columns" ADD CONSTRAINT "columns_title_max" CHECK (char_length("title") <= 200);

ALTER TABLE "columns" ADD CONSTRAINT "columns_title_min" CHECK (char_length("title") >= 1);

ALTER TABLE "comments" DROP CONSTRAINT "comments_body_max";

ALTER TABLE "comments" DROP CONSTRAINT "comments_body_min";

ALTER TABLE "comments" ADD CONSTRAINT "comments_text_max" CHECK (char_length("text") <= 20);

ALTER TABLE "comments" ADD CONSTRAINT "comments_text_min" CHECK (char_length("text") >= 1);

CREATE UNIQUE INDEX "columns_title_key" ON "columns" ("title");
