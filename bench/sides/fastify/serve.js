// The four works in Fastify, as its documentation has one write them: schemas for bodies and answers, statements prepared once, JWT.
//
//     serve.js DATABASE        a file of SQLite's, or the URL of a PostgreSQL database
import cluster from "node:cluster";
import { randomBytes, randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

// The packages are where the bench installed them, not beside this file.
const require = createRequire(join(process.env.BENCH_MODULES, "package.json"));
const PROCESSES = 2;
const COLUMNS = "p.id, p.title, p.slug, p.body, p.status, p.author_id, p.published_at, p.created_at";
const database = process.argv[2];

if (cluster.isPrimary) {
  const secret = randomBytes(32).toString("hex");
  let listening = 0;
  for (let n = 0; n < PROCESSES; n++) cluster.fork({ SECRET: secret });
  cluster.on("message", (_, { token, author, port }) => {
    if (++listening === PROCESSES) console.log(`token ${token}\nauthor ${author}\nready http://127.0.0.1:${port}`);
  });
} else {
  await serve(database.startsWith("postgres") ? await postgres(database) : sqlite(database));
}

function sqlite(file) {
  const Database = require("better-sqlite3");
  const db = new Database(file);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = NORMAL");
  db.pragma("busy_timeout = 5000");
  db.pragma("foreign_keys = ON");
  const one = db.prepare(`SELECT ${COLUMNS} FROM posts p WHERE p.id = ? AND (p.status = 'published' OR p.author_id = ?)`);
  const where = "WHERE p.status = ? AND (p.status = 'published' OR p.author_id = ?) ORDER BY p.created_at DESC LIMIT ?";
  const list = db.prepare(`SELECT ${COLUMNS} FROM posts p ${where}`);
  const authors = db.prepare(`SELECT ${COLUMNS}, u.id AS user_id, u.name FROM posts p JOIN users u ON u.id = p.author_id ${where}`);
  const insert = db.prepare("INSERT INTO posts VALUES (?, ?, ?, ?, 'draft', ?, NULL, ?)");
  return {
    someone: async () => db.prepare("SELECT id FROM users LIMIT 1").get().id,
    one: async (id, me) => one.get(id, me),
    list: async (status, limit, author, me) => (author ? authors : list).all(status, me, limit),
    create: async (post, me) => {
      const id = randomUUID().replaceAll("-", "");
      insert.run(id, post.title, post.slug, post.body, me, new Date().toISOString());
      return id;
    },
  };
}

async function postgres(url) {
  const { Pool } = require("pg");
  const pool = new Pool({ connectionString: url, max: 10 });
  const ask = async (name, text, values) => (await pool.query({ name, text, values })).rows;
  const where = "WHERE p.status = $1 AND (p.status = 'published' OR p.author_id = $2) ORDER BY p.created_at DESC LIMIT $3";
  const authors = `SELECT ${COLUMNS}, u.id AS user_id, u.name FROM posts p JOIN users u ON u.id = p.author_id ${where}`;
  const insert = "INSERT INTO posts (id, title, slug, body, status, author_id, created_at) VALUES ($1, $2, $3, $4, 'draft', $5, now())";
  return {
    someone: async () => (await ask("someone", "SELECT id FROM users LIMIT 1", []))[0].id,
    one: async (id, me) =>
      (await ask("one", `SELECT ${COLUMNS} FROM posts p WHERE p.id = $1 AND (p.status = 'published' OR p.author_id = $2)`, [id, me]))[0],
    list: (status, limit, author, me) =>
      author ? ask("authors", authors, [status, me, limit]) : ask("list", `SELECT ${COLUMNS} FROM posts p ${where}`, [status, me, limit]),
    create: async (post, me) => {
      const id = randomUUID();
      await ask("insert", insert, [id, post.title, post.slug, post.body, me]);
      return id;
    },
  };
}

async function serve(store) {
  const app = require("fastify")();
  await app.register(require("@fastify/jwt"), { secret: process.env.SECRET });
  const text = { type: "string" };
  const properties = {
    id: text, title: text, slug: text, body: text, status: text, author_id: text, created_at: text,
    published_at: { type: ["string", "null"] },
    author: { type: "object", properties: { id: text, name: text } },
  };
  const post = { type: "object", properties };
  const body = {
    type: "object",
    required: ["title", "slug"],
    properties: { title: { ...text, minLength: 1, maxLength: 200 }, slug: { ...text, pattern: "^[a-z0-9-]+$" }, body: text },
  };
  const me = (request) => request.user?.sub ?? null;
  const known = async (request) => {
    if (request.headers.authorization) await request.jwtVerify();
  };
  app.get("/health", async () => ({ ok: true }));
  app.get("/posts/:id", { preHandler: known, schema: { response: { 200: post } } }, async (request, reply) => {
    const row = await store.one(request.params.id, me(request));
    return row ?? reply.code(404).send({ message: "no such post" });
  });
  app.get("/posts", { preHandler: known, schema: { response: { 200: { type: "array", items: post } } } }, async (request) => {
    const { status, limit, author } = request.query;
    const rows = await store.list(status, Number(limit), author === "true", me(request));
    if (author === "true") for (const row of rows) row.author = { id: row.user_id, name: row.name };
    return rows;
  });
  app.post("/posts", { preHandler: (request) => request.jwtVerify(), schema: { body } }, async (request, reply) => {
    const id = await store.create({ body: "", ...request.body }, me(request));
    return reply.code(201).header("location", `/posts/${id}`).send();
  });
  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT ?? 0) });
  const author = await store.someone();
  process.send({ token: app.jwt.sign({ sub: author }), author, port: app.server.address().port });
}
