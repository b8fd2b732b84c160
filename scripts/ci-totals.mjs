// Adds up what npm test and the lab left in .lab/ and prints "N passed, N failed" as the last line of a CI run.
// A run that ended badly without saying which test failed counts as one failure, so that nothing broken looks green.
import { existsSync, readFileSync } from 'node:fs';

const [testStatus, labStatus] = process.argv.slice(2).map(Number);
const readJson = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined);

const tests = ['.lab/vitest.json', '.lab/vitest-network.json'].map(readJson).filter((found) => found !== undefined);
const sum = (field) => tests.reduce((total, found) => total + (found[field] ?? 0), 0);
const steps = existsSync('.lab/failed-steps')
  ? readFileSync('.lab/failed-steps', 'utf8')
      .split('\n')
      .filter((step) => step !== '' && !step.startsWith('tests'))
  : [];
const firstLines = (text = '') => text.split('\n').slice(0, 6).join('\n  ');
const lab = readJson('.lab/results.json');

let passed = sum('numPassedTests');
let failed = sum('numFailedTests') + steps.length;
if (testStatus !== 0 && failed === 0) failed += 1;

const verdicts = lab?.scenarios?.map((scenario) => scenario.ok) ?? [];
const scenariosFailed = verdicts.filter((ok) => !ok).length;
passed += verdicts.length - scenariosFailed;
failed += labStatus !== 0 && scenariosFailed === 0 ? 1 : scenariosFailed;

// Again at the end, where a long log is looked at first.
for (const { testResults = [] } of tests) {
  for (const { name, message, status, assertionResults = [] } of testResults) {
    const broken = assertionResults.filter((each) => each.status === 'failed');
    if (broken.length === 0 && status === 'failed') process.stdout.write(`failed: ${name}: ${firstLines(message)}\n`);
    for (const { fullName, failureMessages = [] } of broken) {
      process.stdout.write(`failed: ${name} > ${fullName}: ${firstLines(failureMessages.join('\n'))}\n`);
    }
  }
}
for (const step of steps) process.stdout.write(`failed: ${step}\n`);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
