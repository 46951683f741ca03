/** HTML with holes: its fixed text is put together once, and what fills a hole is escaped. */

/** What a page shows of one request; the empty string where there is nothing to show. */
export type State = Readonly<Record<'error' | 'notice' | 'email' | 'rd' | 'token', string>>

/** What fills a hole: text, which is escaped, or HTML. */
type Hole = (state: State) => string | Markup

/** HTML that is safe to show: only `markup` makes it. */
export class Markup {
  readonly #parts: (string | Hole)[] = []

  /** Joins pieces of HTML; texts side by side become one. */
  constructor(pieces: readonly (string | Hole | Markup)[]) {
    for (const part of pieces.flatMap((piece) => (piece instanceof Markup ? piece.#parts : [piece]))) {
      const last = this.#parts.at(-1)
      if (typeof part === 'string' && typeof last === 'string') this.#parts.splice(-1, 1, last + part)
      else this.#parts.push(part)
    }
  }

  /** The text, with its holes filled. */
  fill(state: State): string {
    let text = ''
    for (const part of this.#parts) {
      if (typeof part === 'string') {
        text += part
        continue
      }
      const filling = part(state)
      text += filling instanceof Markup ? filling.fill(state) : escape(filling)
    }
    return text
  }
}

/** Makes HTML of a template literal: a text in it is escaped, HTML stays as it is, and a function is a hole. */
export function markup(strings: TemplateStringsArray, ...values: readonly (string | Markup | Hole)[]): Markup {
  const escaped = values.map((value) => (typeof value === 'string' ? escape(value) : value))
  return new Markup(strings.flatMap((string, i) => [string, escaped[i] ?? '']))
}

const ENTITIES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
])

/** A text as HTML shows it, in an element or in a quoted attribute (OWASP, Cross Site Scripting Prevention Cheat Sheet). */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES.get(character) ?? '')
}
