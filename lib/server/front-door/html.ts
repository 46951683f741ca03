/** HTML as a template literal in which whatever comes from elsewhere is escaped. */

/** HTML that is safe to show: only `html` makes it. */
class Html {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  toString(): string {
    return this.#text
  }
}

export type { Html }

/** Makes HTML of a template literal: a string in it is escaped, HTML stays as it is. */
export function html(strings: TemplateStringsArray, ...values: readonly (string | Html)[]): Html {
  return new Html(
    String.raw({ raw: strings }, ...values.map((value) => (value instanceof Html ? value : escape(value)))),
  )
}

const ENTITIES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
])

/** Escapes a text for an element or a quoted attribute (OWASP, Cross Site Scripting Prevention Cheat Sheet). */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES.get(character) ?? '')
}
