// Puts the queries on standard input to a Prometheus, and prints what it answers: [{series} or {error}]. Without queries it
// prints what is at the URL.
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { url, fromMs, queries } = JSON.parse(Buffer.concat(chunks).toString('utf8'));

async function ask({ expr, instant }) {
  const end = Date.now() / 1000;
  const asked = instant
    ? new URLSearchParams({ query: expr, time: String(end) })
    : new URLSearchParams({ query: expr, start: String(fromMs / 1000), end: String(end), step: '1' });
  const answer = await fetch(`${url}/api/v1/query${instant ? '' : '_range'}?${asked}`);
  const { status, error, data } = await answer.json();
  if (status !== 'success') return { error };
  return { series: data.result.map(({ metric, value, values }) => ({ metric, values: values ?? [value] })) };
}

if (queries === undefined) {
  process.stdout.write(await (await fetch(url)).text());
  process.exit(0);
}
const answers = [];
for (const query of queries) answers.push(await ask(query));
process.stdout.write(JSON.stringify(answers));
