import { expect, it } from 'vitest';
import { observation } from '../../test/log/events.js';
import { type Episodes, foldEpisode } from './episode-projection.js';

const began = (kind: string, subject: string) =>
  observation('r1', { type: 'episodeBegan', kind, subject, evidence: [] });
const kindsOf = (episodes: Episodes): string[] =>
  [...episodes.values()].map(({ kind, subject }) => `${kind} ${subject}`);

it('ends with a dataplane what it saw, and not what the agent sees', () => {
  const open = [
    began('split_brain', 'r2'),
    began('wrong_mac', '02:00:00:00:00:01'),
    began('split_brain', 'log'),
    began('log_server_down', ''),
  ].reduce<Episodes>((episodes, event) => foldEpisode(episodes, event), new Map());
  expect(open.size).toBe(4);
  const left = foldEpisode(open, observation('r1', { type: 'dataplaneLost', reason: 'closed' }));
  expect(kindsOf(left)).toEqual(['split_brain log', 'log_server_down ']);
});
