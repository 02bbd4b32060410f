-- 0005_split in the words of postgres, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.

-- Before the transaction of what follows, while others read and write:
ALTER TABLE "posts" ADD CONSTRAINT "posts_status_values" CHECK ("status" IN ('draft', 'published', 'archived')) NOT VALID;
ALTER TABLE "posts" VALIDATE CONSTRAINT "posts_status_values";

ALTER TABLE "posts" DROP CONSTRAINT "posts_status_values";

ALTER TABLE "users" DROP CONSTRAINT "users_name_max";

ALTER TABLE "users" DROP CONSTRAINT "users_name_min";

ALTER TABLE "users" ADD COLUMN "given_name" text COLLATE "C" NOT NULL DEFAULT 'Somebody';

ALTER TABLE "users" ADD COLUMN "family_name" text COLLATE "C" NOT NULL DEFAULT '';

-- the name's two parts: again and again for the next 1000 keys, each time in a transaction of its own, 0 ms apart
UPDATE "users" SET "family_name" = (substr(name, strpos(name || ' ', ' ') + 1)), "given_name" = (split_part(name, ' ', 1)) WHERE ("id") is among them;

-- Before the transaction of what follows, while others read and write:
ALTER TABLE "users" ADD CONSTRAINT "users_family_name_max" CHECK (char_length("family_name") <= 100) NOT VALID;
ALTER TABLE "users" VALIDATE CONSTRAINT "users_family_name_max";

-- Before the transaction of what follows, while others read and write:
ALTER TABLE "users" ADD CONSTRAINT "users_given_name_max" CHECK (char_length("given_name") <= 100) NOT VALID;
ALTER TABLE "users" VALIDATE CONSTRAINT "users_given_name_max";

-- Before the transaction of what follows, while others read and write:
ALTER TABLE "users" ADD CONSTRAINT "users_given_name_min" CHECK (char_length("given_name") >= 1) NOT VALID;
ALTER TABLE "users" VALIDATE CONSTRAINT "users_given_name_min";

ALTER TABLE "users" DROP COLUMN "name";

-- what is old goes to the archive
UPDATE posts SET status = 'archived' WHERE title = 'Third';
