import { type LockName, LockSequence } from '../../src/kernel/lock.js';

/**
 * Another process that takes locks, says so, and keeps them for as long as it lives:
 *
 *   locker '[{"rank": "parent", "key": 2}, …]'
 */
const names = JSON.parse(process.argv[2] ?? '[]') as LockName[];
const sequence = new LockSequence();
for (const name of names) await sequence.acquire(name, 10_000);
process.stdout.write('held\n');
setInterval(() => undefined, 1000);
