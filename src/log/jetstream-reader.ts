import { DeliverPolicy, type JetStreamManager, type JsMsg } from '@nats-io/jetstream';
import { KoiError } from '../koi-error.js';
import { describeTrouble, withDeadline } from './jetstream-trouble.js';
import type { ReadOptions, StoredEvent } from './port.js';
import { storedEvent } from './stored.js';
import type { StreamSettings } from './stream-settings.js';
import type { LogNames } from './subjects.js';

export interface ReadableStream {
  readonly names: LogNames;
  readonly settings: StreamSettings;
  readonly manager: JetStreamManager;
}

interface Reader {
  readonly messages: AsyncIterable<JsMsg>;
  close(): void;
}

/**
 * The stream's events, up to what stood in it when reading began, through a consumer of its own.
 *
 * @throws KoiError `unreachable`, `timeout`
 */
export async function* readStream(stream: ReadableStream, options: ReadOptions): AsyncGenerator<StoredEvent> {
  // A consumer may fall silent for good where the stream's leader moves: half of the time is for another one.
  const patienceMs = options.deadlineMs / 2;
  let position = (options.from ?? 1) - 1;
  let last = options.to ?? Number.POSITIVE_INFINITY;
  for (let isLastAttempt = false; ; isLastAttempt = true) {
    const { sinceMs: _, newest: __, ...rest } = options;
    const where = position < (options.from ?? 1) ? options : { ...rest, from: position + 1 };
    const { lastSequence, reader } = await openReader(stream, where);
    last = Math.min(last, lastSequence);
    if (reader === undefined) return;
    try {
      const iterator = reader.messages[Symbol.asyncIterator]();
      while (true) {
        const next = await withDeadline(iterator.next(), patienceMs, stream.settings.name);
        if (next.done === true || next.value.seq > last) return;
        position = next.value.seq;
        if (position >= (options.from ?? 1)) yield stored(stream.names, next.value);
        if (position === last || next.value.info.pending === 0) return;
      }
    } catch (error) {
      if (isLastAttempt || !(error instanceof KoiError) || error.code !== 'timeout') throw error;
    } finally {
      reader.close();
    }
  }
}

async function openReader(
  { manager, settings }: ReadableStream,
  options: ReadOptions,
): Promise<{ lastSequence: number; reader: Reader | undefined }> {
  try {
    const info = await manager.streams.info(settings.name);
    const lastSequence = info.state.last_seq;
    const oldest = options.newest === undefined ? 1 : lastSequence - options.newest + 1;
    const from = Math.max(options.from ?? 1, oldest);
    if (info.state.messages === 0 || from > lastSequence) return { lastSequence, reader: undefined };
    const start =
      options.sinceMs === undefined
        ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, from) }
        : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(options.sinceMs).toISOString() };
    const filter = options.subjectFilter === undefined ? {} : { filter_subjects: options.subjectFilter };
    const consumer = await manager.jetstream().consumers.get(settings.name, { ...start, ...filter });
    const { num_pending: pending } = await consumer.info(true);
    const messages = pending === 0 ? undefined : await consumer.consume({ max_messages: 500 });
    const close = (): void => {
      messages?.stop();
      // The server would keep it for minutes, and tell it of every event.
      consumer.delete().catch(() => undefined);
    };
    if (messages === undefined) close();
    return { lastSequence, reader: messages === undefined ? undefined : { messages, close } };
  } catch (error) {
    throw new KoiError('unreachable', `cannot read stream ${settings.name}: ${describeTrouble(error, settings)}`, {
      cause: error,
    });
  }
}

const stored = (names: LogNames, message: JsMsg): StoredEvent =>
  storedEvent(names, {
    sequence: message.seq,
    subject: message.subject,
    storedAtMs: message.info.timestampNanos / 1e6,
    encoded: message.data,
  });
