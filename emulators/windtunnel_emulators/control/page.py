"""The control API's page: its OpenAPI document as HTML, with a form for each call. It loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fff; --ground: #eef2f6; --line: #c3ccd6; --soft: #5a6878;
  --get: #0b5cad; --post: #16743c; --delete: #a4262c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf3; --paper: #1c232c; --ground: #12171d; --line: #3d4a59;
  --soft: #a3b1c0; --get: #6cb2f5; --post: #6fcf97; --delete: #ff9a9e; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem 4rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.125rem; margin: 2rem 0 .5rem; }
p { margin: 0 0 .75rem; }
code, pre, textarea, input { font-family: ui-monospace, monospace; font-size: .875rem; }
.soft { color: var(--soft); }
details, .login { background: var(--paper); border: 1px solid var(--line); border-radius: 6px; margin-bottom: .5rem; }
summary { padding: .625rem .875rem; cursor: pointer; display: flex; flex-wrap: wrap; gap: .25rem .75rem;
  align-items: baseline; }
summary .what { color: var(--soft); font-size: .875rem; flex-basis: 100%; order: 1; }
summary::after { content: "Try it"; margin-left: auto; color: var(--soft); font-size: .875rem; }
details[open] > summary::after { content: "Close"; }
.verb { font-weight: 700; min-width: 4.5rem; }
.get { color: var(--get); } .post { color: var(--post); } .delete { color: var(--delete); }
.inside, .login { padding: .875rem; }
.inside { border-top: 1px solid var(--line); }
label { display: block; font-weight: 600; font-size: .875rem; margin-bottom: .75rem; }
.hint { font-weight: 400; color: var(--soft); }
input, textarea { display: block; width: 100%; margin-top: .25rem; padding: .5rem; color: inherit;
  background: transparent; border: 1px solid var(--line); border-radius: 4px; }
textarea { min-height: 6rem; resize: vertical; }
button { padding: .5rem 1.25rem; font: inherit; font-weight: 600; color: var(--paper); background: var(--get);
  border: 0; border-radius: 4px; cursor: pointer; }
button[data-verb=post] { background: var(--post); } button[data-verb=delete] { background: var(--delete); }
:focus-visible { outline: 3px solid var(--get); outline-offset: 2px; }
pre { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--ground); padding: .75rem;
  border-radius: 4px; margin: .75rem 0 0; max-height: 24rem; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 0 .75rem; }
"""

# The credentials stay in the two fields and are sent with each call; nothing is stored.
_SCRIPT = """
for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const output = form.querySelector("output");
    let path = form.dataset.path;
    const query = new URLSearchParams();
    for (const field of form.querySelectorAll("[data-in]")) {
      if (field.dataset.in === "path") path = path.replace("{" + field.name + "}", encodeURIComponent(field.value));
      else if (field.dataset.in === "query" && field.value) query.set(field.name, field.value);
    }
    const headers = {};
    const id = document.getElementById("client-id").value, secret = document.getElementById("client-secret").value;
    if (id || secret) {
      const bytes = new TextEncoder().encode(id + ":" + secret);
      headers["Authorization"] = "Basic " + btoa(String.fromCharCode(...bytes));
    }
    const body = form.querySelector("textarea");
    if (body) headers["Content-Type"] = "application/json";
    output.innerHTML = "<pre></pre>";
    const shown = output.firstChild;
    shown.textContent = "...";
    try {
      const answer = await fetch(path + (query.size ? "?" + query : ""),
        { method: form.dataset.verb.toUpperCase(), headers, credentials: "omit", body: body ? body.value : undefined });
      const text = await answer.text();
      let readable = text;
      try { readable = JSON.stringify(JSON.parse(text), null, 2); } catch { }
      shown.textContent = answer.status + "\\n" + readable;
    } catch (problem) {
      shown.textContent = "No answer: " + problem.message;
    }
  });
}
"""


def _hash(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self';"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""What the page may do: run its own script and call its own server."""


def render(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            group = next(iter(operation.get("tags", ())), "Others")
            groups.setdefault(group, []).append(_call(path, verb, operation, document))
    title = escape(document["info"]["title"])
    sections = "".join(f"<h2>{escape(group)}</h2>\n{''.join(calls)}" for group, calls in groups.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="soft">Version {escape(document["info"]["version"])}, OpenAPI document:
<a href="openapi.json"><code>openapi.json</code></a></p>
<p>From a shell, after <code>eval "$(windtunnel env)"</code>:
<code>curl -u "$AZURE_CLIENT_ID:$AZURE_CLIENT_SECRET" "$AZURE_AUTHORITY_HOST/_windtunnel/clock"</code></p>
<div class="login two">
<label>Client id <span class="hint">AZURE_CLIENT_ID</span><input id="client-id" autocomplete="off"></label>
<label>Client secret <span class="hint">AZURE_CLIENT_SECRET</span>
<input id="client-secret" type="password" autocomplete="off"></label>
</div>
{sections}</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _call(path: str, verb: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    fields = "".join(_parameter(parameter) for parameter in operation.get("parameters", ()))
    body = operation.get("requestBody")
    if body is not None:
        fields += _body(body["content"]["application/json"]["schema"], document)
    open_call = "" if operation.get("security") else ' <span class="hint">open</span>'
    return f"""<details>
<summary><span class="verb {escape(verb)}">{escape(verb.upper())}</span><code>{escape(path)}</code>{open_call}
<span class="what">{escape(operation.get("description", operation.get("summary", "")))}</span></summary>
<form class="inside" data-path="{escape(path)}" data-verb="{escape(verb)}">
{fields}<button data-verb="{escape(verb)}">Send</button>
<output aria-live="polite"></output>
</form>
</details>
"""


def _parameter(parameter: dict[str, Any]) -> str:
    name, schema = escape(parameter["name"]), parameter.get("schema", {})
    default = escape(str(schema.get("default", "")))
    required = " required" if parameter.get("required") else ""
    return (
        f'<label>{name}<input name="{name}" data-in="{escape(parameter["in"])}" value="{default}"{required}></label>\n'
    )


def _body(schema: dict[str, Any], document: dict[str, Any]) -> str:
    """A field with an example, and a list of what may stand in it."""
    described = _resolve(schema, document)
    rows: list[str] = []
    example: dict[str, Any] = {}
    for name, field in described.get("properties", {}).items():
        hint = field.get("description", "")
        if "default" in field:
            hint = f"{hint} (default {json.dumps(field['default'])})".strip()
        rows.append(f"<li><code>{escape(name)}</code> <span class='hint'>{escape(hint)}</span></li>")
        if "examples" in field:
            example[name] = field["examples"][0]
    text = json.dumps(example, indent=2)
    return f"""<p>{escape(described.get("description", ""))}</p>
<label>Body<textarea spellcheck="false">{escape(text)}</textarea></label>
<ul>{"".join(rows)}</ul>
"""


def _resolve(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "")
    if not reference:
        return schema
    resolved: dict[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return resolved
