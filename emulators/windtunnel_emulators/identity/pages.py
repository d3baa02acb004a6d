"""The pages that a person meets while signing in. They need no script, no picture and no other server."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from windtunnel_emulators.identity.wire import HTML, Answer

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #ffffff; --ground: #eef2f6; --line: #b9c5d2;
  --accent: #0b5cad; --soft: #5a6878; --bad: #a4262c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf3; --paper: #1c232c; --ground: #12171d; --line: #3d4a59;
  --accent: #6cb2f5; --soft: #a3b1c0; --bad: #ff9a9e; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; grid-template-columns: minmax(0, 28rem); place-content: center;
  padding: 1rem; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: clamp(1rem, 6vw, 2rem);
  overflow-wrap: anywhere; }
.name { margin: 0 0 1rem; color: var(--soft); font-size: .875rem; }
h1 { margin: 0 0 .75rem; font-size: 1.375rem; line-height: 1.25; font-weight: 600; }
p { margin: 0 0 1rem; }
label { display: block; font-weight: 600; margin-bottom: .25rem; }
input { width: 100%; padding: .625rem .75rem; font: 1.25rem ui-monospace, monospace; letter-spacing: .12em;
  text-transform: uppercase; color: inherit; background: transparent; border: 1px solid var(--line);
  border-radius: 4px; }
.choice { display: flex; gap: .75rem; margin-top: 1.25rem; }
button { flex: 1; padding: .625rem 1rem; font: inherit; font-weight: 600; border-radius: 4px; cursor: pointer;
  border: 1px solid var(--accent); background: transparent; color: var(--accent); }
button.yes { background: var(--accent); color: var(--paper); }
input:focus-visible, button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.problem { color: var(--bad); }
.note { margin: 1.25rem 0 0; color: var(--soft); font-size: .875rem; }
"""

_POLICY = (
    "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


def code_form(person: str, *, code: str = "", problem: str = "") -> Answer:
    """The form that asks for the code; with ``problem``, the answer to a code that did not do."""
    alert = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    return _page(
        400 if problem else 200,
        "Enter the code",
        f"""<p>A program on this machine shows a code and asks to act as <b>{escape(person)}</b>, the emulated tenant's
user. Allow it only if you started it yourself.</p>
{alert}<form method="post">
<label for="user_code">Code</label>
<input id="user_code" name="user_code" value="{escape(code)}" required autofocus autocomplete="off"
 autocapitalize="characters" spellcheck="false" maxlength="20">
<div class="choice">
<button class="yes" name="decision" value="approve">Sign in</button>
<button name="decision" value="decline" formnovalidate>Refuse</button>
</div>
</form>""",
    )


def signed_in(person: str, program: str) -> Answer:
    """What the person sees when done."""
    return _page(
        200,
        "You are signed in",
        f"<p><b>{escape(program)}</b> now acts as <b>{escape(person)}</b> in the emulated tenant."
        " You may close this page and go back to it.</p>",
    )


def refused(program: str) -> Answer:
    """What the person sees after saying no."""
    return _page(200, "Refused", f"<p><b>{escape(program)}</b> was not signed in. You may close this page.</p>")


def problem(status: int, title: str, message: str) -> Answer:
    """Anything else that a browser is told."""
    return _page(status, title, f'<p class="problem" role="alert">{escape(message)}</p>')


def _page(status: int, title: str, content: str) -> Answer:
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - Windtunnel</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="name">Windtunnel: emulated sign-in</p>
<h1>{escape(title)}</h1>
{content}
<p class="note">Nothing here leaves this machine: it is no page of Microsoft's, and your Azure account is not asked
for.</p>
</main>
</body>
</html>
"""
    return Answer(
        status=status,
        body=html.encode("utf-8", "replace"),
        content_type=HTML,
        headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"},
    )
