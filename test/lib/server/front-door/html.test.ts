import t from 'tap'
import { html } from '../../../../lib/server/front-door/html.ts'

t.test('text is escaped, HTML is not', async (t) => {
  const bold = html`<b title="${'"'}">${`<b>"&'</b>$&`}</b>`
  const escaped = '<b title="&quot;">&lt;b&gt;&quot;&amp;&#39;&lt;/b&gt;$&amp;</b>'
  t.equal(String(html`<p>${'<i>'}${bold}${''}</p>\n`), `<p>&lt;i&gt;${escaped}</p>\n`)
})
