import type { KoiConfig } from '../config/config.js';
import { type JetStreamLogs, type JetStreamOptions, openJetStreamLogs } from '../log/jetstream.js';
import { logServers } from './log-servers.js';

/** Opens the logs that a node's configuration names. */
export function openLogs(
  { node, cluster, log }: KoiConfig,
  answerPeer: NonNullable<JetStreamOptions['answerPeer']>,
): JetStreamLogs {
  const { authentication, tls, replicas, embedded } = log;
  return openJetStreamLogs({
    servers: logServers(log),
    inOrder: embedded !== undefined,
    name: node,
    authentication,
    tls,
    cluster,
    replicas,
    answerPeer,
  });
}
