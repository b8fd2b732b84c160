import { type JetStreamManager, PubHeaders } from '@nats-io/jetstream';
import { encodeEvent } from './codec.js';
import type { KoiEvent } from './event.js';
import { judgeFailure, unavailable, withDeadline } from './jetstream-trouble.js';
import type { AppendOptions, AppendResult } from './port.js';
import type { StreamKeeper } from './stream-keeper.js';
import type { StreamSettings } from './stream-settings.js';
import { type LogNames, subjectOf } from './subjects.js';

/** Longer than an election among the servers may take. */
const muteAfterMs = 10_000;
/** Appends that ran out of time for so long are a reason to ask the servers how they stand. */
const suspiciousAfterMs = 1_500;

export interface JetStreamAppendsOptions {
  readonly names: LogNames;
  readonly settings: StreamSettings;
  readonly keeper: Pick<
    StreamKeeper,
    'client' | 'connection' | 'unfit' | 'isPrepared' | 'trouble' | 'recovered' | 'look'
  >;
  readonly onChange: () => void;
}

/** Appends to a stream, and what their answers tell of it. */
export class JetStreamAppends {
  readonly #options: JetStreamAppendsOptions;
  readonly #inFlight = new Set<() => void>();
  /** Since when every append has run out of time. */
  #unansweredSinceMs: number | undefined;
  #lookedAtMs: number | undefined;
  #mute: string | undefined;

  constructor(options: JetStreamAppendsOptions) {
    this.#options = options;
  }

  /** Nothing has been confirmed lately. */
  get isUnanswered(): boolean {
    return this.#unansweredSinceMs !== undefined;
  }

  /** What is wrong with a stream that has confirmed nothing for longer than it may, for people. */
  get mute(): string | undefined {
    return this.#mute;
  }

  /** @param onStored told of the sequence of what is stored anew, before anything is made of the answer */
  async append(event: KoiEvent, options: AppendOptions, onStored: (sequence: number) => void): Promise<AppendResult> {
    const { keeper } = this.#options;
    const { connection } = keeper;
    // The client would keep the message and send it after a reconnect, long past the deadline.
    if (connection === undefined) return unavailable('not_connected', false);
    if (keeper.unfit !== undefined) return unavailable('unfit', false);
    if (!keeper.isPrepared) return unavailable('no_responders', false);
    const encoded = encodeEvent(event);
    const limit = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (encoded.length > limit) return unavailable('too_large', false);

    let broken = (): void => undefined;
    const cut = new Promise<AppendResult>((resolve) => {
      broken = () => resolve(unavailable('disconnected', true));
    });
    this.#inFlight.add(broken);
    const result = await Promise.race([this.#publish(event, encoded, options), cut]);
    this.#inFlight.delete(broken);
    if (result.kind === 'stored' && !result.duplicate) onStored(result.sequence);
    this.#noteAnswer(result);
    if (result.kind === 'stored' && keeper.trouble !== undefined) keeper.recovered();
    if (result.kind === 'unavailable' && result.reason === 'no_responders') void keeper.look();
    return result;
  }

  /** The connection is gone: no answer comes any more. */
  cutOff(): void {
    for (const broken of [...this.#inFlight]) broken();
  }

  async #publish(event: KoiEvent, encoded: Uint8Array, options: AppendOptions): Promise<AppendResult> {
    const { names, settings, keeper } = this.#options;
    const { client } = keeper;
    if (client === undefined || client.connection.isClosed()) return unavailable('not_connected', false);
    const subject = subjectOf(names, event);
    const endMs = performance.now() + options.deadlineMs;
    try {
      const expected = options.expect?.lastSubjectSequence;
      const ack = await client.publisher.publish(subject, encoded, {
        msgID: event.id,
        timeout: options.deadlineMs,
        expect: {
          streamName: settings.name,
          ...(expected === undefined ? {} : { lastSubjectSequence: expected }),
        },
      });
      return { kind: 'stored', sequence: ack.seq, duplicate: ack.duplicate };
    } catch (error) {
      const result = judgeFailure(error);
      return result.kind === 'conflict' ? this.#judgeConflict(client.manager, subject, event.id, endMs) : result;
    }
  }

  /** The server looks at the expectation before the id: a repeated append meets the very event it repeats. */
  async #judgeConflict(manager: JetStreamManager, subject: string, id: string, endMs: number): Promise<AppendResult> {
    const { name } = this.#options.settings;
    const lookup = manager.streams.getMessage(name, { last_by_subj: subject });
    const newest = await withDeadline(lookup, endMs - performance.now(), name).catch(() => null);
    if (newest === null || newest.header.get(PubHeaders.MsgIdHdr) !== id) return { kind: 'conflict' };
    return { kind: 'stored', sequence: newest.seq, duplicate: true };
  }

  /** A stream can be looked at and lead, and still confirm nothing: its server once could not write. */
  #noteAnswer(result: AppendResult): void {
    const { settings, keeper, onChange } = this.#options;
    const nowMs = performance.now();
    if (result.kind === 'unavailable') {
      if (result.reason !== 'timeout') return;
      this.#unansweredSinceMs ??= nowMs;
    } else {
      this.#unansweredSinceMs = undefined;
    }
    const since = this.#unansweredSinceMs;
    if (since !== undefined && nowMs - since >= suspiciousAfterMs && keeper.trouble === undefined)
      this.#lookAgain(nowMs);
    const isMute = since !== undefined && nowMs - since >= muteAfterMs;
    if (isMute === (this.#mute !== undefined)) return;
    this.#mute = isMute
      ? `stream ${settings.name} answers nothing that is appended: is the disk of its servers full? A nats-server that once failed to write has to be restarted`
      : undefined;
    onChange();
  }

  /** A leader without followers answers what it is asked for a while, and confirms nothing. */
  #lookAgain(nowMs: number): void {
    if (this.#lookedAtMs !== undefined && nowMs - this.#lookedAtMs < suspiciousAfterMs) return;
    this.#lookedAtMs = nowMs;
    void this.#options.keeper.look();
  }
}
