import t from 'tap'
import { markup, type State } from '../../../../lib/server/front-door/markup.ts'

const STATE: State = { error: '', notice: '', email: `<b>"&'</b>`, rd: '', token: '' }

t.test('text is escaped, HTML is not, and holes are filled for each state', async (t) => {
  const bold = markup`<b title="${'"'}">${({ email }) => email}</b>`
  const page = markup`<p>${'<i>'}${bold}${({ email }) => email && markup`<u>${email}</u>`}${({ rd }) => rd}</p>`
  const email = '&lt;b&gt;&quot;&amp;&#39;&lt;/b&gt;'
  t.equal(page.fill(STATE), `<p>&lt;i&gt;<b title="&quot;">${email}</b><u>${email}</u></p>`)
  t.equal(page.fill({ ...STATE, email: '', rd: '$&' }), '<p>&lt;i&gt;<b title="&quot;"></b>$&amp;</p>')
})
