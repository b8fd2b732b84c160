import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { z } from 'zod';

/*
 * What of an API server `koi rollout` asks for, with the DaemonSet's controller behind it: who may do what is read from the
 * chart's Role, a pod is deleted with its uid as precondition, ends in its own time, and gets a successor of the newest
 * revision. Shapes and answers as in https://kubernetes.io/docs/reference/kubernetes-api/
 */

/** A node's kubelet, for the one pod of the DaemonSet. */
export interface ApiNode {
  readonly name: string;
  readonly address: string;
  stop(): Promise<void>;
  /** Resolves when the new pod is ready. */
  start(): Promise<void>;
}

const role = z.array(
  z.object({
    apiGroups: z.array(z.string()),
    resources: z.array(z.string()),
    resourceNames: z.array(z.string()).optional(),
    verbs: z.array(z.string()),
  }),
);

interface ApiOptions {
  readonly namespace: string;
  readonly daemonSet: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly minReadySeconds: number;
  readonly token: string;
  /** How long the DaemonSet's controller takes to see a change. */
  readonly controllerMs: number;
}

interface Pod {
  readonly name: string;
  readonly uid: string;
  readonly node: ApiNode;
  readonly hash: string;
  isEnding: boolean;
  readySince: string | undefined;
}

const daemonSetUid = 'uid-of-the-daemonset';

/** Makes a key and a certificate for an address in a folder, as ca.crt and api.key. */
export function makeCertificate(folder: string, address: string): void {
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
      ...['-subj', '/CN=kubernetes', '-addext', `subjectAltName=IP:${address}`],
      ...['-keyout', join(folder, 'api.key'), '-out', join(folder, 'ca.crt')],
    ],
    { stdio: 'ignore' },
  );
}

export class KubeApi {
  readonly server: Server;
  /** Each `VERB resource[/name]` that was let through, the last one last. */
  readonly done: string[] = [];
  /** Nodes whose new pod is never said to be ready. */
  readonly neverReady = new Set<string>();
  /** What went wrong with a node; a test looks that there is nothing. */
  readonly failures: unknown[] = [];
  rules: z.infer<typeof role> = [];
  readonly #options: ApiOptions;
  readonly #nodes: readonly ApiNode[];
  #pods: Pod[] = [];
  #revision = 1;
  #made = 0;
  #observed = 1;

  constructor(folder: string, nodes: readonly ApiNode[], options: ApiOptions, rules: unknown) {
    this.#options = options;
    this.#nodes = nodes;
    this.rules = role.parse(rules);
    this.#pods = nodes.map((node) => ({ ...this.#newPod(node), readySince: now() }));
    const files = { key: readFileSync(join(folder, 'api.key')), cert: readFileSync(join(folder, 'ca.crt')) };
    this.server = createServer(files, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url = '', headers } = request;
        const body: unknown = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
        const { code, answer } = this.#answer(method, new URL(url, 'https://h'), headers.authorization, body);
        response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      });
    });
  }

  /** The template has changed; its controller sees it a little later. */
  upgrade(): void {
    this.#revision += 1;
    setTimeout(() => {
      this.#observed = this.#revision;
    }, this.#options.controllerMs);
  }

  /** The nodes whose pods were deleted, in order. */
  get deleted(): string[] {
    return this.done.flatMap((each) =>
      each.startsWith('delete pods/') ? [this.#nodeOf.get(each.slice(12)) ?? ''] : [],
    );
  }
  readonly #nodeOf = new Map<string, string>();

  get allNewest(): boolean {
    return this.#pods.length === this.#nodes.length && this.#pods.every(({ hash }) => hash === hashOf(this.#revision));
  }

  /** The rules that nobody has needed, as `verb resource`. */
  get unused(): string[] {
    const all = this.rules.flatMap(({ verbs, resources }) => verbs.flatMap((v) => resources.map((r) => `${v} ${r}`)));
    return all.filter((each) => !this.done.some((one) => one.split('/')[0] === each));
  }

  /** The pod that never got ready is, after all. */
  relent(): void {
    this.neverReady.clear();
    for (const pod of this.#pods) pod.readySince ??= now();
  }

  #newPod(node: ApiNode): Pod {
    this.#made += 1;
    const name = `${this.#options.daemonSet}-${this.#made}`;
    this.#nodeOf.set(name, node.name);
    return {
      name,
      uid: `uid-${this.#made}`,
      node,
      hash: hashOf(this.#revision),
      isEnding: false,
      readySince: undefined,
    };
  }

  #answer(
    method: string,
    url: URL,
    authorization: string | undefined,
    body: unknown,
  ): { code: number; answer: object } {
    const path = /^\/(?:api|apis\/([^/]+))\/v1\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+))?$/.exec(url.pathname);
    const [, group = '', namespace, resource = '', name] = path ?? [];
    const verb = method === 'DELETE' ? 'delete' : name === undefined ? 'list' : 'get';
    if (authorization !== `Bearer ${this.#options.token}`) return failure(401, 'Unauthorized', 'Unauthorized');
    const may = this.rules.some(
      (rule) =>
        rule.apiGroups.includes(group) &&
        rule.resources.includes(resource) &&
        rule.verbs.includes(verb) &&
        (rule.resourceNames === undefined || rule.resourceNames.includes(name ?? '')),
    );
    if (!may || namespace !== this.#options.namespace) {
      return failure(403, 'Forbidden', `${resource} is forbidden: cannot ${verb} resource "${resource}"`);
    }
    const told = this.#tell(verb, resource, name, url.searchParams.get('labelSelector'), body);
    if (told.code < 300) this.done.push(`${verb} ${resource}${name === undefined ? '' : `/${name}`}`);
    return told;
  }

  #tell(verb: string, resource: string, name: string | undefined, selector: string | null, body: unknown) {
    const { labels, daemonSet } = this.#options;
    const wanted = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const isSelected = selector === wanted.join(',');
    if (resource === 'daemonsets' && name === daemonSet) return ok(this.#daemonSet());
    if (resource === 'controllerrevisions') return ok({ items: isSelected ? this.#revisions() : [] });
    if (resource === 'pods' && verb === 'list') {
      // Somebody else's with the same labels.
      const stranger = {
        ...this.#podObject(this.#newPod(this.#nodes[0] as ApiNode)),
        metadata: { name: 's', uid: 's' },
      };
      return ok({ items: isSelected ? [...this.#pods.map((pod) => this.#podObject(pod)), stranger] : [] });
    }
    const pod = this.#pods.find((each) => each.name === name);
    if (resource !== 'pods' || verb !== 'delete' || pod === undefined)
      return failure(404, 'NotFound', `${name} not found`);
    const { uid } = z.object({ preconditions: z.object({ uid: z.string() }) }).parse(body).preconditions;
    if (uid !== pod.uid) return failure(409, 'Conflict', `the UID in the precondition (${uid}) is not ${pod.uid}`);
    if (!pod.isEnding) void this.#replace(pod).catch((error: unknown) => this.failures.push(error));
    return ok(this.#podObject(pod));
  }

  async #replace(pod: Pod): Promise<void> {
    pod.isEnding = true;
    await pod.node.stop();
    this.#pods = this.#pods.filter((each) => each !== pod);
    await new Promise((resolve) => setTimeout(resolve, this.#options.controllerMs));
    const next = this.#newPod(pod.node);
    this.#pods = [...this.#pods, next];
    await pod.node.start();
    if (!this.neverReady.has(pod.node.name)) next.readySince = now();
  }

  #daemonSet(): object {
    const { labels, minReadySeconds } = this.#options;
    return {
      metadata: { uid: daemonSetUid, generation: this.#revision },
      spec: { selector: { matchLabels: labels }, updateStrategy: { type: 'OnDelete' }, minReadySeconds },
      status: { observedGeneration: this.#observed, desiredNumberScheduled: this.#nodes.length },
    };
  }

  /** As many as the controller has seen. */
  #revisions(): object[] {
    return Array.from({ length: this.#observed }, (_, index) => ({
      metadata: {
        labels: { ...this.#options.labels, 'controller-revision-hash': hashOf(index + 1) },
        ownerReferences: [{ uid: daemonSetUid, controller: true }],
      },
      revision: index + 1,
    }));
  }

  #podObject({ name, uid, node, hash, isEnding, readySince }: Pod) {
    const condition = {
      type: 'Ready',
      status: readySince === undefined ? 'False' : 'True',
      lastTransitionTime: readySince,
    };
    return {
      metadata: {
        name,
        uid,
        labels: { ...this.#options.labels, 'controller-revision-hash': hash },
        ownerReferences: [{ uid: daemonSetUid, controller: true }],
        ...(isEnding && { deletionTimestamp: now() }),
      },
      spec: { nodeName: node.name },
      status: { hostIP: node.address, conditions: [condition] },
    };
  }
}

const hashOf = (revision: number): string => `hash${revision}`;
/** In whole seconds, as the API has it. */
const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z');

const ok = (answer: object): { code: number; answer: object } => ({ code: 200, answer });
const failure = (code: number, reason: string, message: string): { code: number; answer: object } => ({
  code,
  answer: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code },
});
