import type { SharedConfiguration } from '../core/config-version.js';
import type { EventType, KoiEvent } from './event.js';

/**
 * One line for a human: who, which virtual router, which term, what and why. `find` looks up the event that led here,
 * where it is at hand.
 */
export function describe(event: KoiEvent, find?: (id: string) => KoiEvent | undefined): string {
  const vr = 'vr' in event && event.vr !== undefined ? `${event.vr} ` : '';
  const line = `${vr}${event.node} ${says(event)}`;
  if (event.causeId === undefined) return line;
  const cause = find?.(event.causeId);
  return cause === undefined ? line : `${line} ← ${cause.node} ${eventWords[cause.payload.type]}`;
}

/** An event's type in words, short enough for a list of causes. */
const eventWords: Readonly<Record<EventType, string>> = {
  claimed: 'claimed',
  released: 'released',
  handoverStarted: 'started a handover',
  handoverReady: 'was ready to take over',
  handoverFailed: 'could not take over',
  leaseRenewed: 'renewed its lease',
  leaseRevoked: 'revoked a lease',
  configProposed: 'proposed a configuration',
  configAcknowledged: 'agreed to a configuration',
  configWithdrawn: 'withdrew a configuration',
  configSwitched: 'put a configuration into force',
  nodeStarted: 'started',
  nodeStopped: 'stopped',
  transition: 'changed state',
  masterActive: 'became active',
  fenced: 'was fenced',
  dataplaneLost: 'lost its dataplane',
  provisionalTakeover: 'took over without the log',
  logLost: 'lost the log',
  logRejoined: 'rejoined the log',
  linkRepaired: 'repaired its link',
  advertRefused: 'refused adverts',
  episodeBegan: 'raised an alarm',
  episodeEnded: 'ended an alarm',
  configApplied: 'applied its configuration',
  eventsDropped: 'dropped events',
  logRegressed: 'saw the log go back',
  drainChanged: 'was taken out of service, or back',
  leaseEnded: 'revoked a lease',
  unknown: 'wrote an event that this version of koi does not know',
};

function says(event: KoiEvent): string {
  const { payload } = event;
  const words = eventWords[payload.type];
  const inTerm = 'term' in event && event.term !== undefined ? ` term ${event.term}` : '';
  switch (payload.type) {
    case 'claimed': {
      const late =
        payload.provisionalSinceMs === undefined ? '' : `, provisional since ${time(payload.provisionalSinceMs)}`;
      const found = payload.holderVerdict === undefined ? '' : `, the holder: ${payload.holderVerdict}`;
      return `claimed${inTerm}: ${payload.reason} (priority ${payload.priority}, ${payload.lanAddress}${late}${found})`;
    }
    case 'released': {
      const proof = payload.addressesReadBackGone ? 'addresses read back gone' : 'addresses not confirmed gone';
      return `released${inTerm}: ${payload.reason} (${proof})`;
    }
    case 'handoverStarted':
      return `handed${inTerm} over to ${payload.to}: ${payload.reason}`;
    case 'handoverReady':
      return `ready to take${inTerm} from ${payload.from}`;
    case 'handoverFailed':
      return `could not take${inTerm} from ${payload.from}: ${payload.reason}`;
    case 'leaseRenewed':
      return `renewed its lease for ${payload.ttlMs} ms`;
    case 'leaseRevoked':
      return `revoked the lease of ${payload.holder}: ${payload.reason}`;
    case 'configProposed': {
      const { version, configuration } = payload;
      return `proposed configuration ${configuration.digest} as version ${version}: ${configurationWords(configuration)}`;
    }
    case 'configAcknowledged':
      return `agreed to configuration ${payload.digest} as version ${payload.version}`;
    case 'configWithdrawn':
      return `wants no other configuration as version ${payload.version} any more`;
    case 'configSwitched': {
      const { version, configuration, reason } = payload;
      const what = `version ${version}, ${configuration.digest}: ${configurationWords(configuration)}`;
      return `put configuration ${what} into force (${reason})`;
    }
    case 'nodeStarted':
      return `started koi ${payload.version} with ${count(payload.virtualRouters.length, 'virtual router')}`;
    case 'transition':
      return `${payload.from} → ${payload.to}${inTerm}: ${payload.reason}`;
    case 'masterActive': {
      const phases = { detect: payload.detectUs, arbitrate: payload.arbitrateUs, attach: payload.attachUs };
      const each = Object.entries({ ...phases, announce: payload.announceUs }).map(([name, us]) => `${name} ${ms(us)}`);
      return `active${inTerm}: ${each.join(', ')}`;
    }
    case 'nodeStopped':
    case 'fenced':
    case 'dataplaneLost':
    case 'provisionalTakeover':
    case 'logLost':
      return `${words}${inTerm}: ${payload.reason}`;
    case 'logRejoined':
      return `rejoined the log after ${payload.outageMs} ms`;
    case 'linkRepaired':
      return `repaired ${payload.object}: ${payload.kind}`;
    case 'advertRefused': {
      const from = payload.lastSource === '' ? '' : `, last from ${payload.lastSource}`;
      return `refused ${count(payload.count, 'advert')} on ${payload.interface}: ${payload.reason}${from}`;
    }
    case 'episodeBegan': {
      const evidence = payload.evidence.map(({ key, value }) => `${key}=${value}`).join(' ');
      return `ALARM ${payload.kind}${evidence === '' ? '' : `: ${evidence}`}`;
    }
    case 'episodeEnded':
      return `end of ${payload.kind} after ${payload.durationMs} ms: ${payload.reason}${endedDetails(payload)}`;
    case 'configApplied': {
      const changes = payload.changes.length === 0 ? 'no changes' : payload.changes.join('; ');
      return `applied configuration ${payload.digest.slice(0, 12)}: ${changes}`;
    }
    case 'eventsDropped':
      return `dropped ${count(payload.count, 'event')} of ${time(payload.firstMs)} to ${time(payload.lastMs)}: outbox full`;
    case 'logRegressed':
      return `saw the log ${payload.kind}: stood at ${payload.expectedSequence}, found ${payload.foundSequence}`;
    case 'drainChanged': {
      if (!payload.drained) return 'is back in service: koi undrain';
      return `is drained: koi drain${payload.force ? ' --force' : ''}`;
    }
    case 'leaseEnded':
      return `revoked the lease of ${payload.holder}, not renewed for ${(payload.silentMs / 1000).toFixed(1)} s`;
    case 'unknown':
      return words;
  }
}

/** Which of several episodes of a kind it was, and how much there was of it. */
function endedDetails({ subject, sightings }: Extract<KoiEvent['payload'], { type: 'episodeEnded' }>): string {
  const parts = [
    ...(subject === undefined ? [] : [subject]),
    ...(sightings === undefined || sightings < 2 ? [] : [`seen ${sightings} times`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function configurationWords({ protocol, id, addresses, form }: SharedConfiguration): string {
  return [`${protocol} ${id}`, addresses.join(', '), form].filter((part) => part !== '').join('; ');
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
const ms = (us: number): string => `${(us / 1000).toFixed(1)} ms`;
const time = (unixMs: number): string => new Date(unixMs).toISOString();
