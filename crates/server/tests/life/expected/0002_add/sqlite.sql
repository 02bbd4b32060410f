-- 0002_add in the words of sqlite, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

CREATE TABLE "series" (
  "id" BLOB NOT NULL,
  "title" TEXT NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "series_id_uuid" CHECK (length("id") = 16),
  CONSTRAINT "series_title_max" CHECK (length("title") <= 200),
  CONSTRAINT "series_title_min" CHECK (length("title") >= 1)
) STRICT;

ALTER TABLE "posts" ADD COLUMN "reading_minutes" INTEGER CONSTRAINT "posts_reading_minutes_min" CHECK ("reading_minutes" >= 1);

ALTER TABLE "posts" ADD COLUMN "summary" TEXT NOT NULL DEFAULT '' CONSTRAINT "posts_summary_max" CHECK (length("summary") <= 300);

ALTER TABLE "posts" ADD COLUMN "series_id" BLOB CONSTRAINT "posts_series_id_uuid" CHECK (length("series_id") = 16) CONSTRAINT "posts_series_id_fkey" REFERENCES "series" ("id") ON DELETE SET NULL;

CREATE INDEX "posts_series_id_idx" ON "posts" ("series_id", "id");

CREATE UNIQUE INDEX "series_title_key" ON "series" ("title");

-- minutes from the length: again and again for the next 2 keys, each time in a transaction of its own, 0 ms apart
UPDATE "posts" SET "reading_minutes" = (1 + length(body) / 10) WHERE ("id") is among them AND (reading_minutes IS NULL);
