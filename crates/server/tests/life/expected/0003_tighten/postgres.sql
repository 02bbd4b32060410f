-- 0003_tighten in the words of postgres, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

-- what is too long is cut
UPDATE comments SET body = substr(body, 1, 20);

ALTER TABLE "comments" DROP CONSTRAINT "comments_body_max";

ALTER TABLE "comments" ADD CONSTRAINT "comments_body_max" CHECK (char_length("body") <= 20);

ALTER TABLE "posts" ALTER COLUMN "reading_minutes" SET NOT NULL;

ALTER TABLE "posts" ADD CONSTRAINT "posts_reading_minutes_max" CHECK ("reading_minutes" <= 600);

CREATE UNIQUE INDEX "users_email_key" ON "users" ("email");
