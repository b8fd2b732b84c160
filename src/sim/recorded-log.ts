import { LogAudit } from '../log/audit.js';
import type { AuditWord, Finding } from '../log/audit-words.js';
import type { MemoryLogServer } from '../log/memory.js';
import type { LogNames } from '../log/subjects.js';

/** Nodes' wall clocks jump and differ here by more than any bound: how long two served at once is for the witness to say. */
const unboundedMs = Number.POSITIVE_INFINITY;

/**
 * What the audit may find where the log has lost events: transitions and claims that are not there any more, and what was
 * appended meanwhile on top of them. An event that follows none of those before it says nothing about terms either.
 */
const afterLoss: ReadonlySet<AuditWord> = new Set<AuditWord>([
  'history_gap',
  'active_before_attach',
  'active_without_claim',
  'chain_broken',
]);
const afterBrokenChain: ReadonlySet<AuditWord> = new Set<AuditWord>([
  'term_reused',
  'term_fell',
  'release_by_other',
  'handover_by_other',
]);

/** What `koi audit` finds broken in the log as a run has left it. */
export function auditRecord(server: MemoryLogServer, names: LogNames, hasLostEvents: boolean): readonly Finding[] {
  const findings: Finding[] = [];
  const audit = new LogAudit(names, {
    bounds: { overlapMs: unboundedMs, handoverMs: unboundedMs, clockMs: unboundedMs },
    onFinding: (finding) => {
      if (finding.level === 'broken') findings.push(finding);
    },
  });
  for (let stored = server.next(1); stored !== undefined; stored = server.next(stored.sequence + 1)) audit.read(stored);
  audit.finish();
  if (!hasLostEvents) return findings;
  const broken = new Set(findings.flatMap(({ what, vr }) => (what === 'chain_broken' ? [vr] : [])));
  return findings.filter(({ what, vr }) => !afterLoss.has(what) && !(afterBrokenChain.has(what) && broken.has(vr)));
}
