import { z } from 'zod';
import { configSchema, virtualRouterSchema } from '../../src/config/schema.js';
import { logLevels } from '../../src/observe/logger.js';

/*
 * The shape of the chart's values. Koi's own part is Koi's own schema, less what the chart decides and less every place
 * for a secret: a password in the configuration would end in a ConfigMap.
 */

const about = <T extends z.ZodType>(schema: T, description: string): T => schema.meta({ description }) as T;
const text = (description: string) => about(z.string(), description);
const strings = (description: string) => about(z.record(z.string(), z.string()), description);
const flag = (description: string) => about(z.boolean(), description);
const seconds = (description: string) => about(z.int().min(1).max(3600), description);
const foreign = (description: string) =>
  about(z.record(z.string(), z.unknown()), `${description}, as Kubernetes has it`);
const foreignList = (description: string) =>
  about(z.array(z.record(z.string(), z.unknown())), `${description}, as Kubernetes has it`);

const server = configSchema.shape.log.shape.embedded.unwrap().shape;
const log = configSchema.shape.log.omit({ embedded: true, password: true, token: true });

const config = configSchema
  .omit({ node: true, control: true, stateDir: true, log: true })
  .extend({ log: log.optional() })
  .meta({
    description: "Koi's configuration, less node, control and stateDir, which the chart sets, and less secrets",
  });

const { interface: parent, priority, carp, preempt, unicast, track } = virtualRouterSchema.shape;
const ofOneRouter = z
  .strictObject({ interface: parent.optional(), priority, carp, preempt, unicast, track })
  .meta({ description: 'what differs in one virtual router' });

const nodes = about(
  z.record(
    z.string(),
    z.strictObject({
      interface: parent.optional(),
      priority,
      virtualRouters: about(z.record(z.string(), ofOneRouter), 'by the name of the virtual router').optional(),
    }),
  ),
  'what differs on single nodes, by the name of the node',
);

const pullPolicy = z.enum(['Always', 'IfNotPresent', 'Never']).meta({ description: 'when the image is pulled' });
const image = z.strictObject({ repository: text('the image'), tag: text('default: appVersion'), pullPolicy });
const resources = foreign('requests and limits');

/** The chart's values: every key is known, with its kind and its bounds. */
export const valuesSchema = z
  .strictObject({
    global: foreign('values that charts share').optional(),
    config,
    nodes,
    httpPort: about(z.int().min(1).max(65_535), 'the port of config.http.listen'),
    image,
    imagePullSecrets: foreignList('secrets of the registry'),
    agent: z.strictObject({
      image: about(image.partial(), 'what differs from image'),
      resources,
      lingerSeconds: seconds('how long the agent stays when its pod ends'),
      terminationGracePeriodSeconds: seconds('more than lingerSeconds'),
    }),
    dataplane: z.strictObject({
      image: about(image.partial(), 'what differs from image'),
      resources,
      drainSeconds: seconds('how long preStop may take to hand everything over'),
      terminationGracePeriodSeconds: seconds('more than drainSeconds: the stop after it takes up to 15 s'),
      logLevel: about(z.enum(logLevels).exclude(['silent']), 'how much it says'),
    }),
    rollout: z.strictObject({
      enabled: flag("whether a Job replaces the dataplanes' pods after an upgrade, the master of most last"),
      nodeTimeoutSeconds: seconds('how long a node may take until it is ready again'),
      resources,
    }),
    updateStrategy: foreign("how the agents' DaemonSet is updated, and the dataplanes' where rollout is off"),
    minReadySeconds: about(z.int().min(0).max(3600), 'how long a node must be ready before the next one'),
    priorityClassName: text('the priority class of every pod'),
    nodeSelector: strings('on which nodes'),
    affinity: foreign('on which nodes'),
    tolerations: foreignList('which taints do not keep Koi away'),
    podAnnotations: strings('of the DaemonSets'),
    podLabels: strings('of the DaemonSets'),
    stateDir: about(z.string().regex(/^\/[^\0]+$/), "the host's directory for Koi's state"),
    runDir: about(z.string().regex(/^\/[^\0]+$/), "the host's directory for Koi's sockets"),
    secrets: z.strictObject({
      existing: text('the name of a Secret that is there'),
      data: strings('files of the Secret that the chart makes: name and content'),
    }),
    log: z.strictObject({
      embedded: z.strictObject({
        enabled: flag('whether the chart runs the servers of the log'),
        replicas: z
          .union([z.literal(1), z.literal(3), z.literal(5)])
          .meta({ description: 'how many servers: an odd number, since a majority must be left' }),
        clusterDomain: text("the cluster's domain"),
        storage: z.strictObject({
          size: about(z.string().regex(/^\d+(\.\d+)?(k|[MGTPE]|[KMGTPE]i)?$/), 'of each volume, such as 5Gi'),
          className: text('the storage class'),
        }),
        maxStore: about(server.maxStore.unwrap(), 'what the log may take of it, such as 4GiB'),
        resources,
        nodeSelector: strings('on which nodes'),
        tolerations: foreignList('which taints do not keep it away'),
        terminationGracePeriodSeconds: seconds('how long a server may take to stop'),
      }),
    }),
    serviceAccount: z.strictObject({ name: text('one that is there'), annotations: strings('of the one made here') }),
    networkPolicy: z.strictObject({
      enabled: flag("whether the log's pods get one"),
      nodeCidrs: about(
        z.array(z.string().regex(/^[\dA-Fa-f.:]+\/\d{1,3}$/)),
        'the networks of the nodes, such as 10.0.0.0/24',
      ),
    }),
    podMonitor: z.strictObject({
      enabled: flag('whether there is one'),
      interval: about(z.string().regex(/^\d+(ms|s|m)$/), 'between scrapes'),
      labels: strings('what Prometheus selects it by'),
    }),
    prometheusRule: z.strictObject({
      enabled: flag('whether there is one'),
      labels: strings('what Prometheus selects it by'),
      runbookUrl: text('where docs/runbooks is kept'),
    }),
    dashboards: z.strictObject({
      enabled: flag('whether there are ConfigMaps of them'),
      labels: strings("what Grafana's sidecar looks for"),
      annotations: strings("of theirs, such as the sidecar's folder"),
    }),
  })
  .meta({ title: 'values of the koi chart', description: 'Values of the koi chart' });

/** Go's regular expressions know no lookahead: what it excludes is left to koi's own check. */
const withoutLookahead = (pattern: string): string => pattern.replace(/\(\?!(?:[^()\\]|\\.)*\)/g, '');

/** values.schema.json, as it lies in the chart. */
export function valuesSchemaText(): string {
  const schema = z.toJSONSchema(valuesSchema, {
    io: 'input',
    target: 'draft-7',
    override: ({ jsonSchema }) => {
      if (jsonSchema.pattern !== undefined) jsonSchema.pattern = withoutLookahead(jsonSchema.pattern);
    },
  });
  return `${JSON.stringify(schema, null, 2)}\n`;
}
