import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { KoiError } from '../koi-error.js';
import { requestJson } from './json-request.js';

/*
 * The few things that koi asks of a cluster's API server: a DaemonSet with its revisions and pods, and to delete a pod.
 * https://kubernetes.io/docs/reference/kubernetes-api/
 */

/** Where the kubelet mounts what a pod proves itself with. */
const mounted = '/var/run/secrets/kubernetes.io/serviceaccount';
const requestTimeoutMs = 10_000;

const owners = z.array(z.object({ uid: z.string(), controller: z.boolean().default(false) })).default([]);
const labels = z.record(z.string(), z.string()).default({});
/** The label of a revision, and of each pod that was made from it. */
const hashLabel = 'controller-revision-hash';

const daemonSet = z.object({
  metadata: z.object({ uid: z.string(), generation: z.number() }),
  spec: z.object({
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
    updateStrategy: z.object({ type: z.string() }),
    minReadySeconds: z.number().default(0),
  }),
  status: z.object({ observedGeneration: z.number().default(0), desiredNumberScheduled: z.number().default(0) }),
});
export type DaemonSet = z.infer<typeof daemonSet>;

const revisions = z.object({
  items: z.array(z.object({ metadata: z.object({ labels, ownerReferences: owners }), revision: z.number() })),
});

const pods = z.object({
  items: z.array(
    z.object({
      metadata: z.object({
        name: z.string(),
        uid: z.string(),
        labels,
        ownerReferences: owners,
        deletionTimestamp: z.string().optional(),
      }),
      spec: z.object({ nodeName: z.string().optional() }),
      status: z.object({
        hostIP: z.string().optional(),
        conditions: z
          .array(z.object({ type: z.string(), status: z.string(), lastTransitionTime: z.string().nullish() }))
          .default([]),
      }),
    }),
  ),
});

export interface DaemonPod {
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  /** Where the node is reached; undefined before the kubelet has said. */
  readonly hostAddress: string | undefined;
  /** The hash of its revision. */
  readonly revision: string | undefined;
  readonly isEnding: boolean;
  /** Since when it is ready, milliseconds since 1970 by its node's clock; undefined while it is not. */
  readonly readySinceMs: number | undefined;
}

/** Why the API server does nothing more for whoever asks. */
const status = z.object({ message: z.string() });

export class ApiServer {
  readonly #base: string;
  readonly #token: (() => string) | undefined;
  readonly #ca: string | undefined;
  readonly namespace: string;

  private constructor(base: string, namespace: string, token?: () => string, ca?: string) {
    this.#base = base;
    this.namespace = namespace;
    this.#token = token;
    this.#ca = ca;
  }

  /**
   * As a pod reaches it: by its environment and with its mounted token.
   * @throws KoiError 'usage' where this is no pod, or one without a token
   */
  static ofPod(environment: NodeJS.ProcessEnv, namespace?: string, folder = mounted): ApiServer {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment;
    if (host === undefined) {
      throw new KoiError('usage', 'this is no pod: KUBERNETES_SERVICE_HOST is not set', {
        remedy:
          "the chart's Job runs it after an upgrade; elsewhere run `kubectl proxy`, and give --server http://127.0.0.1:8001",
      });
    }
    const read = (name: string): string => {
      try {
        return readFileSync(join(folder, name), 'utf8').trim();
      } catch (cause) {
        throw new KoiError('usage', `this pod has no ${name} of a service account: ${String(cause)}`, {
          remedy: `mount one at ${folder}: automountServiceAccountToken: true with a service account that may do it`,
          cause,
        });
      }
    };
    const base = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
    read('token');
    // The kubelet renews the token while the pod runs.
    return new ApiServer(base, namespace ?? read('namespace'), () => read('token'), read('ca.crt'));
  }

  /** Where something else proves who asks, as `kubectl proxy` does. @throws KoiError 'usage' */
  static at(server: string, namespace: string): ApiServer {
    if (!/^https?:$/.test(URL.canParse(server) ? new URL(server).protocol : '')) {
      throw new KoiError('usage', `--server: '${server}' is no URL`, { remedy: 'write http://127.0.0.1:8001' });
    }
    return new ApiServer(server.replace(/\/+$/, ''), namespace);
  }

  /** @throws KoiError; 'config' where there is none of that name */
  async daemonSet(name: string): Promise<DaemonSet> {
    const path = `/apis/apps/v1/namespaces/${this.namespace}/daemonsets/${name}`;
    const { code, body } = await this.#ask('GET', path, `get the DaemonSet ${name}`);
    if (code === 404) {
      throw new KoiError('config', `there is no DaemonSet ${name} in the namespace ${this.namespace}`, {
        remedy: `kubectl get daemonsets --all-namespaces -l app.kubernetes.io/name=koi shows where it is`,
      });
    }
    return this.#read(daemonSet, body, path);
  }

  /** The hash of the newest revision of a DaemonSet; undefined while there is none. @throws KoiError */
  async newestRevision(of: DaemonSet): Promise<string | undefined> {
    const path = `/apis/apps/v1/namespaces/${this.namespace}/controllerrevisions${selected(of)}`;
    const { body } = await this.#ask('GET', path, 'list controllerrevisions');
    const own = this.#read(revisions, body, path).items.filter(({ metadata }) => isOf(of, metadata.ownerReferences));
    const newest = own.sort((a, b) => b.revision - a.revision)[0];
    return newest?.metadata.labels[hashLabel];
  }

  /** The pods of a DaemonSet that have a node. @throws KoiError */
  async pods(of: DaemonSet): Promise<DaemonPod[]> {
    const path = `/api/v1/namespaces/${this.namespace}/pods${selected(of)}`;
    const { body } = await this.#ask('GET', path, 'list pods');
    return this.#read(pods, body, path).items.flatMap(({ metadata, spec, status: told }) => {
      if (spec.nodeName === undefined || !isOf(of, metadata.ownerReferences)) return [];
      const ready = told.conditions.find(({ type }) => type === 'Ready');
      const sinceMs = Date.parse(ready?.lastTransitionTime ?? '');
      return [
        {
          name: metadata.name,
          uid: metadata.uid,
          node: spec.nodeName,
          hostAddress: told.hostIP,
          revision: metadata.labels[hashLabel],
          isEnding: metadata.deletionTimestamp !== undefined,
          readySinceMs: ready?.status !== 'True' ? undefined : Number.isNaN(sinceMs) ? 0 : sinceMs,
        },
      ];
    });
  }

  /**
   * Deletes this very pod, with its own grace. Resolves to whether it was there: a pod of the same name with another uid
   * is another one, and is left alone.
   * @throws KoiError
   */
  async deletePod({ name, uid }: { readonly name: string; readonly uid: string }): Promise<boolean> {
    const path = `/api/v1/namespaces/${this.namespace}/pods/${name}`;
    const { code } = await this.#ask('DELETE', path, `delete the pod ${name}`, {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      preconditions: { uid },
    });
    return code !== 404 && code !== 409;
  }

  /** @returns with 2xx, 404 or 409; what may pass by itself is 'unreachable' */
  async #ask(
    method: 'GET' | 'DELETE',
    path: string,
    what: string,
    body?: unknown,
  ): Promise<{ code: number; body: unknown }> {
    const token = this.#token?.();
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const asked = { method, headers, timeoutMs: requestTimeoutMs, ...(this.#ca !== undefined && { ca: this.#ca }) };
    const answer = await requestJson(new URL(this.#base + path), body === undefined ? asked : { ...asked, body }).catch(
      (cause: unknown) => {
        throw new KoiError('unreachable', `the API server at ${this.#base}: ${(cause as Error).message}`, {
          remedy: 'is it there, and does its certificate fit? `kubectl get --raw /readyz` asks it, too',
          cause,
        });
      },
    );
    const { status: code } = answer;
    if ((code >= 200 && code < 300) || code === 404 || code === 409) return { code, body: answer.body };
    const said = status.safeParse(answer.body).data?.message ?? `HTTP ${code}`;
    if (code === 401) {
      throw new KoiError('privilege', `the API server does not know who asks: ${said}`, {
        remedy:
          'the token is of a service account that is gone or of another cluster: run the Job again (helm upgrade)',
      });
    }
    if (code === 403) {
      throw new KoiError('privilege', `not allowed to ${what} in the namespace ${this.namespace}: ${said}`, {
        remedy: "give it the chart's Role and RoleBinding (rollout.enabled=true), or have an administrator run this",
      });
    }
    throw new KoiError('unreachable', `the API server at ${this.#base} cannot ${what} now: ${said}`, {
      remedy: 'it may pass: look at the API server, and run this again',
    });
  }

  #read<T>(schema: z.ZodType<T>, body: unknown, path: string): T {
    const parsed = schema.safeParse(body);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new KoiError('protocol', `${this.#base}${path}: ${issue?.path.join('.')}: ${issue?.message}`, {
      remedy: 'is that an API server? See --server',
    });
  }
}

const selected = ({ spec }: DaemonSet): string => {
  const words = Object.entries(spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`);
  return `?labelSelector=${encodeURIComponent(words.join(','))}`;
};

const isOf = ({ metadata: { uid } }: DaemonSet, references: z.infer<typeof owners>): boolean =>
  references.some((each) => each.controller && each.uid === uid);
