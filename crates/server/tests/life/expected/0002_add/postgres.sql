-- 0002_add in the words of postgres, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

CREATE TABLE "series" (
  "id" uuid NOT NULL,
  "title" text COLLATE "C" NOT NULL,
  CONSTRAINT "series_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "series_title_max" CHECK (char_length("title") <= 200),
  CONSTRAINT "series_title_min" CHECK (char_length("title") >= 1)
);

ALTER TABLE "posts" ADD COLUMN "reading_minutes" bigint;

ALTER TABLE "posts" ADD COLUMN "summary" text COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE "posts" ADD COLUMN "series_id" uuid;

ALTER TABLE "posts" ADD CONSTRAINT "posts_reading_minutes_min" CHECK ("reading_minutes" >= 1);

ALTER TABLE "posts" ADD CONSTRAINT "posts_summary_max" CHECK (char_length("summary") <= 300);

CREATE INDEX "posts_series_id_idx" ON "posts" ("series_id", "id");

CREATE UNIQUE INDEX "series_title_key" ON "series" ("title");

ALTER TABLE "posts" ADD CONSTRAINT "posts_series_id_fkey" FOREIGN KEY ("series_id") REFERENCES "series" ("id") ON DELETE SET NULL;

-- minutes from the length: again and again for the next 2 keys, each time in a transaction of its own, 0 ms apart
UPDATE "posts" SET "reading_minutes" = (1 + length(body) / 10) WHERE ("id") is among them AND (reading_minutes IS NULL);
