/** What every layer needs for its error messages. */

/** A value that breaks a rule; named after the Python exception that the exercise raises (tasks 3, 5, 16, 18). */
export class ValueError extends Error {
  override name = this.constructor.name
}

/** An error's message, trimmed because OpenSSL's end with a line break; for anything else that was thrown, its text. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message || String(error) : String(error)).trim()
}

/**
 * A URL, or a text that ends with one, with `***` in place of its password, so that it may be shown. In any other text,
 * such as `http:/USER:PASSWORD@HOST` or `host=HOST password=PASSWORD`, the `***` may cover more than the password.
 */
export function withoutPassword(url: string): string {
  return url
    .replace(/(:\/\/[^:]*|^(?!.*(?:\bfile:|:\/\/))[^:]*):.*@/s, '$1:***@')
    .replace(/([?&]\w*password=)[^&]*[^&'"]|(password\s*=).*[^'"]/gis, '$1$2***')
}
