/** The pages' style sheet: it is inside each page, and the Content-Security-Policy allows it by its hash. */
import { createHash } from 'node:crypto'
import { html } from './html.ts'

/**
 * Sizes are in rem, so that the pages grow with the reader's font. Borders and text have the contrast that WCAG 2.2
 * asks for (1.4.3, 1.4.11) in both colour schemes.
 */
export const STYLE = html`
:root {
  color-scheme: light dark;
  --page: #f3f4f7; --card: #fff; --text: #1b1f27; --quiet: #565e6c; --line: #858d9b; --edge: #dfe2e8;
  --accent: #2f55c8; --hover: #24449f; --on-accent: #fff;
  --error: #a3211a; --error-page: #fdf0ef; --notice: #1d6638; --notice-page: #edf7f0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151b; --card: #1b2028; --text: #e8eaef; --quiet: #a5adbb; --line: #7b8494; --edge: #2b323d;
    --accent: #8cabff; --hover: #adc3ff; --on-accent: #101a35;
    --error: #ffb0a8; --error-page: #35201f; --notice: #9bdcb1; --notice-page: #1a2c22;
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: clamp(0rem, 6vw, 4rem) 0; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
main { width: min(100%, 25rem); margin: 0 auto; padding: clamp(1.25rem, 6vw, 2.25rem); background: var(--card);
  border: 1px solid var(--edge); border-radius: .875rem; }
svg { display: block; color: var(--accent); }
h1 { margin: .75rem 0 0; font-size: 1.625rem; line-height: 1.25; letter-spacing: -.01em; overflow-wrap: anywhere; hyphens: auto; }
h2 { margin: 2rem 0 0; padding-top: 1.5rem; border-top: 1px solid var(--edge); font-size: 1.125rem; }
p { margin: .5rem 0 0; overflow-wrap: anywhere; }
.quiet, .hint { color: var(--quiet); }
.hint { margin: .25rem 0 0; font-size: .875rem; }
[role] { margin: 1.25rem 0; padding: .75rem 1rem; border-left: .25rem solid; border-radius: .375rem; }
[role=alert] { color: var(--error); background: var(--error-page); }
[role=status] { color: var(--notice); background: var(--notice-page); }
label { display: block; margin-top: 1.25rem; font-weight: 600; }
input { width: 100%; margin-top: .375rem; padding: .625rem .75rem; font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem; }
input[readonly] { background: var(--page); }
button { width: 100%; margin-top: 1.5rem; padding: .6875rem 1rem; font: inherit; font-weight: 600; color: var(--on-accent);
  background: var(--accent); border: 1px solid transparent; border-radius: .5rem; cursor: pointer; }
button:hover { background: var(--hover); }
button.plain { color: var(--text); background: none; border-color: var(--line); }
button.plain:hover { background: var(--page); }
.links { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .5rem 1.5rem; margin-top: 1.5rem; }
a { color: var(--accent); text-underline-offset: .2em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
@media (max-width: 30rem) { main { border-width: 0; border-radius: 0; } body { background: var(--card); } }
`

/** The style's source expression in a Content-Security-Policy (CSP Level 3, section 2.3.1). */
export const STYLE_SOURCE = `'sha256-${createHash('sha256').update(String(STYLE)).digest('base64')}'`
