// Shows /openapi.json and tries its operations. No library, no build step. Text reaches the page as text nodes alone, so nothing
// in the document or in an answer can become markup.
"use strict";

const $ = (id) => document.getElementById(id);

// An element: properties that begin with "on" are listeners, the others attributes; children are texts or elements.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Descriptions have `code` in them and nothing else.
function prose(text) {
  return String(text || "").split("`").map((part, at) => (at % 2 ? h("code", null, part) : part));
}

let api = null;
let operations = [];

// ---- Reading the document

function resolve(thing) {
  let found = thing;
  for (let hops = 0; found && found.$ref && hops < 16; hops++) {
    found = found.$ref.slice(2).split("/").reduce((at, step) => at && at[step.replaceAll("~1", "/").replaceAll("~0", "~")], api);
  }
  return found || {};
}

function listOperations() {
  const all = [];
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      all.push({
        id: operation.operationId, method: method.toUpperCase(), path, operation, tag: (operation.tags || ["other"])[0],
        parameters: (operation.parameters || []).map(resolve),
      });
    }
  }
  return all;
}

function typeName(schema) {
  if (!schema) return "any";
  if (schema.$ref) return resolve(schema).title || schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeName))].join(" | ");
  const types = [].concat(schema.type || "any");
  return types.map((type) => {
    if (type === "array") return "list of " + typeName(schema.items);
    if (schema.enum) return type === "null" ? "null" : "enum";
    return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
  }).join(" | ");
}

function bounds(schema) {
  const said = [];
  const has = (name) => schema[name] !== undefined;
  const huge = (number) => Math.abs(number) >= Number.MAX_SAFE_INTEGER;
  if (has("minLength") || has("maxLength")) said.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? "any number of"} characters`);
  if (has("minItems") || has("maxItems")) said.push(`${schema.minItems ?? 0} to ${schema.maxItems ?? "any number of"} items`);
  if (has("minimum") && !huge(schema.minimum)) said.push(`at least ${schema.minimum}`);
  if (has("maximum") && !huge(schema.maximum)) said.push(`at most ${schema.maximum}`);
  if (has("multipleOf")) said.push(`steps of ${schema.multipleOf}`);
  if (has("default")) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.readOnly) said.push("read-only");
  if (schema.writeOnly) said.push("write-only");
  return said.join(" · ");
}

const NO_NUL = "^[^\\u0000]*$";

function patternOf(schema) {
  return schema.pattern && schema.pattern !== NO_NUL ? h("div", { class: "pattern mono" }, schema.pattern) : null;
}

function schemaView(schema, depth = 0) {
  const whole = resolve(schema);
  if (whole.anyOf) {
    const parts = whole.anyOf.filter((part) => part.type !== "null");
    if (parts.length === 1) return schemaView(parts[0], depth);
    return h("div", null, parts.map((part, at) => h("details", { open: at === 0 && depth < 1 },
      h("summary", null, typeName(part)), schemaView(part, depth + 1))));
  }
  if ([].concat(whole.type).includes("array")) {
    return h("div", { class: "schema" }, h("p", { class: "quiet" }, typeName(whole)), depth < 4 ? schemaView(whole.items || {}, depth + 1) : null);
  }
  const properties = Object.entries(whole.properties || {});
  if (!properties.length) {
    return h("p", { class: "quiet" }, typeName(whole), whole.description ? [": ", prose(whole.description)] : null);
  }
  const required = new Set(whole.required || []);
  return h("div", { class: "schema" },
    whole.description && depth < 2 ? h("p", { class: "quiet" }, prose(whole.description)) : null,
    h("dl", { class: "told" }, properties.map(([name, raw]) => {
      const property = resolve(raw);
      const nested = property.properties || (property.items && resolve(property.items).properties);
      return h("div", null,
        h("dt", null, h("span", { class: "mono" }, name), required.has(name) ? h("span", { class: "must", title: "required" }, " *") : null,
          h("small", null, typeName(property))),
        h("dd", null,
          property.description ? h("p", null, prose(property.description)) : null,
          property.enum ? h("p", null, property.enum.filter((value) => value !== null).map((value) => [h("code", null, String(value)), " "])) : null,
          bounds(property) ? h("p", { class: "quiet" }, bounds(property)) : null,
          patternOf(property),
          nested && depth < 3 ? h("details", null, h("summary", null, "its members"), schemaView(property, depth + 1)) : null));
    })));
}

// ---- Who is calling

const who = { key: "", token: "", email: "" };
try { Object.assign(who, JSON.parse(sessionStorage.getItem("undergird.who") || "{}")); } catch { /* begin anew */ }

function keepWho() {
  try { sessionStorage.setItem("undergird.who", JSON.stringify(who)); } catch { /* for this page alone then */ }
  const button = $("who");
  button.textContent = who.token ? who.email : who.key ? "With a key" : "Not signed in";
  button.classList.toggle("in", Boolean(who.token || who.key));
  document.dispatchEvent(new Event("who"));
}

function authHeaders() {
  const headers = {};
  if (who.key) headers.apikey = who.key;
  if (who.token) headers.Authorization = `Bearer ${who.token}`;
  return headers;
}

function openDialog() {
  const dialog = $("dialog");
  const told = h("p", { role: "status" });
  const key = h("input", { class: "mono", id: "d-key", value: who.key, placeholder: "publishable or secret key", autocomplete: "off", spellcheck: "false" });
  const email = h("input", { type: "email", id: "d-email", autocomplete: "username", required: true });
  const password = h("input", { type: "password", id: "d-password", autocomplete: "current-password", required: true });
  const signIn = async (path, done) => {
    told.className = "quiet";
    told.textContent = "…";
    const headers = { "Content-Type": "application/json" };
    if (key.value.trim()) headers.apikey = key.value.trim();
    try {
      const response = await fetch(path, { method: "POST", headers, body: JSON.stringify({ email: email.value, password: password.value }) });
      const body = await response.json();
      if (!response.ok) throw new Error(body.msg || body.message || response.status);
      if (!body.access_token) {
        told.textContent = "The address must be confirmed first.";
        return;
      }
      Object.assign(who, { token: body.access_token, email: body.user?.email || email.value, key: key.value.trim() });
      keepWho();
      told.textContent = done;
      dialog.close();
    } catch (error) {
      told.className = "error";
      told.textContent = error.message;
    }
  };
  const hasAuth = operations.some((one) => one.id === "auth.token");
  dialog.replaceChildren(
    h("h2", { id: "dialog-title" }, "Who is calling?"),
    h("p", { class: "quiet" }, "Without a key or a user, requests are a visitor's. Both are kept in this tab alone."),
    h("form", { onsubmit: (event) => { event.preventDefault(); who.key = key.value.trim(); keepWho(); dialog.close(); } },
      h("div", { class: "field" }, h("label", { for: "d-key" }, "API key ", h("small", null, prose("`undergird keys` prints them"))), key),
      h("div", { class: "row" }, h("button", null, "Use this key"))),
    !hasAuth ? "" : h("form", { onsubmit: (event) => { event.preventDefault(); signIn("/auth/v1/token?grant_type=password", "Signed in."); } },
      h("h3", null, who.token ? `Signed in as ${who.email}` : "Sign in"),
      h("div", { class: "field" }, h("label", { for: "d-email" }, "E-mail"), email),
      h("div", { class: "field" }, h("label", { for: "d-password" }, "Password"), password),
      h("div", { class: "row" },
        h("button", { class: "main" }, "Sign in"),
        h("button", { type: "button", onclick: (event) => { if (event.target.form.reportValidity()) signIn("/auth/v1/signup", "Signed up."); } }, "Sign up"),
        who.token && h("button", { type: "button", onclick: () => { Object.assign(who, { token: "", email: "" }); keepWho(); dialog.close(); } }, "Forget the user")),
      told),
    h("div", { class: "row" }, h("span", { class: "space" }), h("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  dialog.showModal();
}

// ---- A request as fields, as a request, as code

function bodySchema(one) {
  return resolve(one.operation.requestBody)?.content?.["application/json"]?.schema;
}

function exampleOf(schema, depth = 0) {
  const whole = resolve(schema);
  if (whole.examples?.length) return whole.examples[0];
  if (whole.anyOf) return exampleOf(whole.anyOf[0], depth + 1);
  if (whole.type === "array") return [];
  return depth < 4 && whole.type === "object" ? {} : null;
}

function requestOf(one, fields, body) {
  let path = one.path;
  const query = [];
  const headers = {};
  const extra = [];
  for (const parameter of one.parameters) {
    const value = fields.get(parameter)?.value.trim() ?? "";
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value || `{${parameter.name}}`).replaceAll("%7B", "{").replaceAll("%7D", "}").replaceAll("%2C", ","));
    else if (!value) continue;
    else if (parameter.in === "query") query.push([parameter.name, value]);
    else if (parameter.in === "header") headers[parameter.name] = value;
  }
  for (const line of (fields.get("extra")?.value || "").split(/[\n&]/)) {
    const at = line.indexOf("=");
    if (at > 0) extra.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  const all = query.concat(extra);
  const encoded = (text) => encodeURIComponent(text).replace(/%(2C|28|29|3A|2A|22)/g, (code) => (code === "%22" ? code : decodeURIComponent(code)));
  const url = path + (all.length ? "?" + all.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&") : "");
  if (bodySchema(one)) headers["Content-Type"] = "application/json";
  return { method: one.method, url, path, query: all, headers, body: bodySchema(one) ? body.value : undefined };
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(request) {
  const lines = [`curl ${request.method === "GET" ? "" : `-X ${request.method} `}${shell(location.origin + request.url)}`];
  const headers = { ...(who.key ? { apikey: who.key } : {}), ...(who.token ? { Authorization: "Bearer $TOKEN" } : {}), ...request.headers };
  for (const [name, value] of Object.entries(headers)) {
    lines.push(`-H ${value.includes("$TOKEN") ? `"${name}: ${value}"` : shell(`${name}: ${value}`)}`);
  }
  if (request.body) lines.push(`-d ${shell(request.body)}`);
  return lines.join(" \\\n  ");
}

const quoted = (text) => JSON.stringify(text);

// Filters as methods of supabase-js; what has no method of its own goes through .filter().
function filterCall([name, text]) {
  const not = text.startsWith("not.");
  const rest = not ? text.slice(4) : text;
  const dot = rest.indexOf(".");
  const operator = rest.slice(0, dot);
  const value = rest.slice(dot + 1);
  if (not || dot < 0) return `.not(${quoted(name)}, ${quoted(operator)}, ${quoted(value)})`;
  if (operator === "is") return `.is(${quoted(name)}, ${["null", "true", "false"].includes(value) ? value : quoted(value)})`;
  if (["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike"].includes(operator)) return `.${operator}(${quoted(name)}, ${quoted(value)})`;
  return `.filter(${quoted(name)}, ${quoted(operator)}, ${quoted(value)})`;
}

function supabase(one, request) {
  const body = (request.body || "{}").trim();
  const start = `const supabase = createClient(${quoted(location.origin)}, PUBLISHABLE_KEY)\n\n`;
  const auth = {
    "auth.signup": () => {
      const told = parsed(body);
      return told && `await supabase.auth.signUp(${JSON.stringify({ email: told.email, password: told.password, ...(told.data ? { options: { data: told.data } } : {}) }, null, 2)})`;
    },
    "auth.token": () => `await supabase.auth.signInWithPassword(${body})`,
    "auth.user": () => "await supabase.auth.getUser()",
    "auth.update_user": () => `await supabase.auth.updateUser(${body})`,
    "auth.logout": () => "await supabase.auth.signOut()",
  }[one.id];
  if (auth) return start + `const { data, error } = ${auth() || "…"}`;
  const rows = one.id.endsWith(".create") || /\.(list|read|update|update_one|replace_one|delete|delete_one)$/.test(one.id);
  if (!rows || !one.path.startsWith("/rest/v1/") || one.id === "batch") return null;
  const query = new Map(request.query);
  const prefer = request.headers.Prefer || "";
  const verb = one.id.slice(one.id.lastIndexOf(".") + 1);
  const count = /count=(\w+)/.exec(prefer);
  const select = query.get("select");
  const lines = [`.from(${quoted(one.tag)})`];
  const conflict = query.get("on_conflict");
  if (verb === "list" || verb === "read") lines.push(`.select(${quoted(select || "*")}${count ? `, { count: ${quoted(count[1])} }` : ""})`);
  else if (verb === "create" && prefer.includes("resolution=")) lines.push(`.upsert(${body}${conflict ? `, { onConflict: ${quoted(conflict)} }` : ""})`);
  else if (verb === "create") lines.push(`.insert(${body})`);
  else if (verb === "replace_one") lines.push(`.upsert(${body})`);
  else if (verb.startsWith("update")) lines.push(`.update(${body})`);
  else lines.push(".delete()");
  const key = one.parameters.find((parameter) => parameter.in === "path");
  if (key && verb !== "replace_one") {
    const names = (key.description.match(/`([^`]+)`/g) || []).map((name) => name.slice(1, -1));
    const values = decodeURIComponent(request.path.split("/").pop()).split(",");
    names.forEach((name, at) => lines.push(`.eq(${quoted(name)}, ${quoted(values[at] ?? "")})`));
  }
  for (const [name, value] of request.query) {
    if (["select", "columns", "on_conflict", "after", "limit", "offset"].includes(name)) continue;
    if (name === "order") {
      for (const term of value.split(",")) {
        const [column, ...flags] = term.split(".");
        const options = [flags.includes("desc") && "ascending: false", flags.includes("nullsfirst") && "nullsFirst: true", flags.includes("nullslast") && "nullsFirst: false"].filter(Boolean);
        lines.push(`.order(${quoted(column)}${options.length ? `, { ${options.join(", ")} }` : ""})`);
      }
    } else if (name === "or") lines.push(`.or(${quoted(value.replace(/^\(|\)$/g, ""))})`);
    else if (name === "and") lines.push(`.or(${quoted(`and${value}`)})`);
    else lines.push(filterCall([name, value]));
  }
  const offset = Number(query.get("offset") || 0);
  const limit = query.get("limit");
  if (offset && limit) lines.push(`.range(${offset}, ${offset + Number(limit) - 1})`);
  else if (limit) lines.push(`.limit(${limit})`);
  if (!["list", "read"].includes(verb) && prefer.includes("return=representation")) lines.push(`.select(${select ? quoted(select) : ""})`);
  if (key && (verb === "read" || prefer.includes("return=representation"))) lines.push(".single()");
  return `${start}const { data, error } = await supabase\n  ${lines.join("\n  ")}`;
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return null; }
}

// JSON with its numbers as they came (64 bits and decimals do not survive JSON.parse), indented and coloured.
function jsonView(text) {
  const out = [];
  let depth = 0;
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[{}\[\],:]|\s+|./g) || [];
  const solid = tokens.filter((token) => token.trim());
  const line = () => "\n" + "  ".repeat(depth);
  solid.forEach((token, at) => {
    const next = solid[at + 1];
    if (token === "{" || token === "[") {
      depth++;
      out.push(token, next === "}" || next === "]" ? "" : line());
    } else if (token === "}" || token === "]") {
      depth--;
      const before = solid[at - 1];
      out.push(before === "{" || before === "[" ? "" : line(), token);
    } else if (token === ",") out.push(",", line());
    else if (token === ":") out.push(": ");
    else {
      const kind = token[0] === '"' ? (next === ":" ? "j-key" : "j-string") : /^-?[0-9]/.test(token) ? "j-number" : "j-word";
      out.push(h("span", { class: kind }, token));
    }
  });
  return out;
}

const SHOWN_CHARS_MAX = 200000;

async function send(one, request, out, button) {
  button.disabled = true;
  const started = performance.now();
  try {
    const response = await fetch(request.url, { method: request.method, headers: { ...authHeaders(), ...request.headers }, body: request.body || undefined, cache: "no-store" });
    const text = await response.text();
    const took = performance.now() - started;
    const type = response.headers.get("content-type") || "";
    const shown = text.length > SHOWN_CHARS_MAX ? text.slice(0, SHOWN_CHARS_MAX) : text;
    const whole = shown.length === text.length;
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    out.replaceChildren(
      h("div", { class: "row" },
        h("span", { class: `status s${Math.floor(response.status / 100)}` }, `${response.status} ${response.statusText}`),
        h("span", { class: "quiet" }, `${took.toFixed(took < 10 ? 1 : 0)} ms · ${new Blob([text]).size.toLocaleString()} bytes`),
        h("span", { class: "space" }),
        text ? h("button", { type: "button", onclick: (event) => copy(text, event.target) }, "Copy") : null),
      h("details", null, h("summary", null, "Headers ", h("small", null, `(${[...response.headers].length})`)), h("pre", null, headers)),
      text ? h("pre", { tabindex: "0", "aria-label": "Body" }, /json/.test(type) && whole && text.length < 60000 ? jsonView(text) : shown) : h("p", { class: "quiet" }, "No body."),
      whole ? "" : h("p", { class: "quiet" }, `Only the first ${SHOWN_CHARS_MAX.toLocaleString()} characters are shown.`));
    if (response.ok && (one.id === "auth.token" || one.id === "auth.signup")) {
      const session = parsed(text);
      if (session?.access_token) {
        Object.assign(who, { token: session.access_token, email: session.user?.email || "a user" });
        keepWho();
      }
    }
  } catch (error) {
    out.replaceChildren(h("p", { class: "error" }, `The request did not get through: ${error.message}`));
  }
  button.disabled = false;
}

async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Could not copy";
  }
  setTimeout(() => { button.textContent = before; }, 1200);
}

// ---- Views

// What is typed into one operation's form stays while the page is open.
const drafts = new Map();

function fieldOf(one, parameter, fields) {
  const id = `p-${one.id}-${parameter.in}-${parameter.name}`;
  const schema = resolve(parameter.schema);
  const draft = `${id}`;
  const example = parameter.example ?? schema.examples?.at(-1) ?? schema.examples?.[0];
  const change = (event) => drafts.set(draft, event.target.value);
  const kept = drafts.get(draft) ?? "";
  const input = schema.enum
    ? h("select", { id, onchange: change }, parameter.required ? null : h("option", { value: "" }, "—"),
        schema.enum.map((value) => h("option", { value, selected: kept === value }, value)))
    : h("input", { id, class: "mono", value: kept, placeholder: example ?? "", oninput: change, autocomplete: "off", spellcheck: "false", autocapitalize: "none" });
  fields.set(parameter, input);
  return h("div", { class: "field" },
    h("label", { for: id }, h("code", null, parameter.name), parameter.required ? h("span", { class: "must" }, " *") : null), input);
}

function tryView(one) {
  const fields = new Map();
  const plain = [];
  const filters = [];
  const headers = [];
  for (const parameter of one.parameters) {
    const isFilter = /Keep rows/.test(parameter.description || "");
    (parameter.in === "header" ? headers : isFilter ? filters : plain).push(parameter);
  }
  const schema = bodySchema(one);
  const draft = `body-${one.id}`;
  const body = h("textarea", { id: draft, class: "mono", spellcheck: "false", oninput: (event) => drafts.set(draft, event.target.value) });
  body.value = drafts.get(draft) ?? (schema ? JSON.stringify(exampleOf(schema), null, 2) : "");
  const rows = filters.length > 0;
  const extra = rows ? h("input", { class: "mono", id: `extra-${one.id}`, placeholder: "comments.limit=3&author.name=eq.Ann", autocomplete: "off", spellcheck: "false" }) : null;
  if (extra) fields.set("extra", extra);
  const out = h("div", { class: "answer", "aria-live": "polite" });
  const code = h("pre", { tabindex: "0", "aria-label": "Code" });
  let language = "curl";
  const tabs = ["curl", "supabase-js"].map((name) => h("button", {
    type: "button", role: "tab", "aria-selected": String(name === language),
    onclick: () => { language = name; refresh(); },
  }, name));
  const refresh = () => {
    const request = requestOf(one, fields, body);
    const client = supabase(one, request);
    tabs[1].hidden = client === null;
    if (client === null) language = "curl";
    tabs.forEach((tab) => tab.setAttribute("aria-selected", String(tab.textContent === language)));
    code.textContent = language === "curl" ? curl(request) : client;
  };
  const button = h("button", { class: "main" }, "Send");
  const group = (title, list, open) => list.length
    ? h("details", { open: open || list.some((parameter) => drafts.get(`p-${one.id}-${parameter.in}-${parameter.name}`)) },
        h("summary", null, title, " ", h("small", null, `(${list.length})`)), list.map((parameter) => fieldOf(one, parameter, fields)))
    : null;
  const form = h("form", {
    oninput: refresh, onchange: refresh,
    onsubmit: (event) => {
      event.preventDefault();
      const missing = one.parameters.find((parameter) => parameter.required && !fields.get(parameter).value.trim());
      if (missing) {
        out.replaceChildren(h("p", { class: "error" }, `${missing.name} is needed.`));
        fields.get(missing).focus();
        return;
      }
      send(one, requestOf(one, fields, body), out, button);
    },
    onkeydown: (event) => { if ((event.ctrlKey || event.metaKey) && event.key === "Enter") form.requestSubmit(); },
  },
    plain.map((parameter) => fieldOf(one, parameter, fields)),
    schema ? h("div", { class: "field" }, h("label", { for: draft }, "Body ", h("small", null, "application/json")), body) : null,
    group("Filters", filters, false),
    group("Headers", headers, false),
    extra ? h("details", null, h("summary", null, "More of the query ", h("small", null, "(embedded collections, JSON paths)")), extra) : null,
    h("div", { class: "row" }, button, h("small", { class: "quiet" }, "Ctrl + Enter")));
  refresh();
  document.addEventListener("who", refresh);
  return h("section", { class: "try", "aria-labelledby": "try-title" },
    h("h2", { id: "try-title" }, "Try it"), form, out,
    h("div", { class: "tabs", role: "tablist" }, tabs, h("span", { class: "space" }),
      h("button", { type: "button", onclick: (event) => copy(code.textContent, event.target) }, "Copy")), code);
}

function parametersView(one) {
  if (!one.parameters.length) return null;
  const places = [["path", "In the path"], ["query", "In the query"], ["header", "Headers"]];
  return [h("h2", { class: "part" }, "Parameters"), places.map(([place, title]) => {
    const list = one.parameters.filter((parameter) => parameter.in === place);
    return list.length ? [h("h3", null, title), h("dl", { class: "told" }, list.map((parameter) => {
      const schema = resolve(parameter.schema);
      return h("div", null,
        h("dt", null, h("span", { class: "mono" }, parameter.name), parameter.required ? h("span", { class: "must" }, " *") : null, h("small", null, typeName(schema))),
        h("dd", null, h("p", null, prose(parameter.description)),
          schema.enum ? h("p", null, schema.enum.map((value) => [h("code", null, String(value)), " "])) : null,
          parameter.example ? h("p", { class: "quiet" }, "For example ", h("code", null, String(parameter.example))) : null,
          schema.examples ? h("p", { class: "quiet" }, "For example ", schema.examples.map((value) => [h("code", null, String(value)), " "])) : null,
          bounds(schema) ? h("p", { class: "quiet" }, bounds(schema)) : null,
          schema.pattern && schema.pattern !== NO_NUL ? h("details", null, h("summary", null, h("small", null, "the exact pattern")), patternOf(schema)) : null));
    }))] : null;
  })];
}

function answersView(one) {
  return [h("h2", { class: "part" }, "Answers"), Object.entries(one.operation.responses).map(([status, raw]) => {
    const answer = resolve(raw);
    const types = Object.entries(answer.content || {});
    const headers = Object.entries(answer.headers || {});
    return h("details", { open: status.startsWith("2") && status !== "206" },
      h("summary", null, h("span", { class: `status s${status[0]}` }, status), " ", h("small", null, prose(answer.description))),
      headers.length ? h("p", { class: "quiet" }, "Headers: ", headers.map(([name, header]) => [h("code", { title: resolve(header).description || "" }, name), " "])) : null,
      types.length ? h("p", { class: "quiet" }, types.map(([type]) => [h("code", null, type), " "])) : null,
      types.length ? schemaView(types[0][1].schema || {}) : null);
  })];
}

function operationView(one) {
  const about = one.operation.description;
  const security = one.operation.security ?? api.security ?? [];
  const needs = security.length && !security.some((one) => Object.keys(one).length === 0);
  const schema = bodySchema(one);
  return [
    h("h1", null, one.operation.summary || one.id),
    h("div", { class: "path" }, h("span", { class: `verb ${one.method.toLowerCase()}` }, one.method), h("span", { class: "mono" }, one.path)),
    about ? h("p", null, prose(about)) : null,
    needs ? h("p", { class: "quiet" }, "Needs a signed-in user or a key.") : null,
    h("div", { class: "two" },
      h("div", null, parametersView(one), schema ? [h("h2", { class: "part" }, "Body"), schemaView(schema)] : null, answersView(one)),
      tryView(one)),
  ];
}

function homeView() {
  const tags = (api.tags || []).filter((tag) => operations.some((one) => one.tag === tag.name));
  return [
    h("h1", null, api.info.title),
    h("p", null, prose(api.info.description)),
    h("p", null, "The document itself: ", h("a", { href: "/openapi.json" }, "/openapi.json"), ". Press ", h("code", null, "/"), " to search."),
    h("div", { class: "cards" }, tags.map((tag) => h("section", { class: "card" },
      h("h3", null, tag.name), h("p", null, prose(tag.description)),
      h("div", { class: "links" }, operations.filter((one) => one.tag === tag.name).map((one) => h("a", { href: `#${one.id}`, title: `${one.method} ${one.path}` }, shortId(one))))))),
  ];
}

const shortId = (one) => (one.id.startsWith(`${one.tag}.`) ? one.id.slice(one.tag.length + 1) : one.id).replaceAll("_", " ");

function listView() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (text) => words.every((word) => text.toLowerCase().includes(word));
  const named = (one) => `${one.id} ${one.method} ${one.path} ${one.operation.summary || ""}`;
  // By parameter only when nothing is called so.
  let found = operations.filter((one) => fits(named(one)));
  if (!found.length) found = operations.filter((one) => fits(`${named(one)} ${one.parameters.map((parameter) => parameter.name).join(" ")}`));
  const current = decodeURIComponent(location.hash.slice(1));
  const tags = [...new Set(found.map((one) => one.tag))];
  $("list").replaceChildren(...tags.map((tag) => h("section", null, h("h2", null, tag),
    h("ul", null, found.filter((one) => one.tag === tag).map((one) => h("li", null,
      h("a", { href: `#${one.id}`, title: one.path, "aria-current": one.id === current ? "page" : null },
        h("span", { class: `verb ${one.method.toLowerCase()}` }, one.method), shortId(one))))))));
  if (!found.length) $("list").replaceChildren(h("p", { class: "quiet" }, "Nothing fits."));
}

function showMenu(open) {
  $("side").classList.toggle("open", open);
  $("menu").setAttribute("aria-expanded", String(open));
}

function show() {
  const one = operations.find((one) => one.id === decodeURIComponent(location.hash.slice(1)));
  $("main").replaceChildren(...[(one ? operationView(one) : homeView())].flat(Infinity).filter(Boolean));
  document.title = one ? `${one.operation.summary} · ${api.info.title}` : `${api.info.title} API`;
  listView();
  showMenu(false);
  window.scrollTo(0, 0);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
}

function begin() {
  let theme = null;
  try { theme = localStorage.getItem("undergird.theme"); } catch { /* as the system has it */ }
  setTheme(theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  $("theme").addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    setTheme(next);
    try { localStorage.setItem("undergird.theme", next); } catch { /* for this page alone then */ }
  });
  $("who").addEventListener("click", openDialog);
  $("menu").addEventListener("click", () => showMenu(!$("side").classList.contains("open")));
  $("search").addEventListener("input", listView);
  $("search").addEventListener("keydown", (event) => {
    const first = $("list").querySelector("a");
    if (event.key === "Enter" && first) location.hash = first.hash;
    if (event.key === "ArrowDown" && first) { event.preventDefault(); first.focus(); }
  });
  $("list").addEventListener("keydown", (event) => {
    const links = [...$("list").querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (at >= 0 && step) { event.preventDefault(); (links[at + step] || $("search")).focus(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      if (getComputedStyle($("side")).display === "none") showMenu(true);
      $("search").focus();
    }
    if (event.key === "Escape") showMenu(false);
  });
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
  window.addEventListener("hashchange", show);
  keepWho();
}

async function load() {
  begin();
  try {
    const response = await fetch("/openapi.json");
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    api = await response.json();
  } catch (error) {
    $("main").replaceChildren(h("p", { class: "error" }, `/openapi.json could not be read: ${error.message}`));
    return;
  }
  operations = listOperations();
  $("name").textContent = api.info.title;
  $("version").textContent = `OpenAPI ${api.openapi} · ${api.info.version}`;
  show();
}

load();
