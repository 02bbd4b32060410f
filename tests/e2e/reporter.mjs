// What node's test runner found, in the form that `run` reads: a line per test, failures with their reason, and the sum.

const counts = { passed: 0, failed: 0 }

export default async function* report(events) {
  for await (const { type, data } of events) {
    // Suites are not tests: their tests are.
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details?.type === 'suite') continue
    if (type === 'test:pass') {
      counts.passed += 1
      yield `ok      ${data.name}\n`
    } else {
      counts.failed += 1
      const error = data.details?.error?.cause ?? data.details?.error
      yield `FAILED  ${data.name}\n${indented(error?.stack ?? error?.message ?? String(error))}\n`
    }
  }
  yield `${counts.passed} passed, ${counts.failed} failed\n`
}

function indented(text) {
  return text.split('\n').map((line) => `        ${line}`).join('\n')
}
