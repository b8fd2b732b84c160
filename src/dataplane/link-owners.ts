interface Owner {
  /** Where its links are; undefined: our own network namespace. */
  readonly namespace: string | undefined;
  /** Whether a link is one of its own now. */
  owns(ifindex: number): boolean;
}

/**
 * Whose a link is, among many. The kernel tells several times of each link that comes up and goes, and with a thousand
 * virtual routers asking all of them each time is most of what such a change costs. So whoever was found is asked first.
 */
export class LinkOwners<Each extends Owner> {
  readonly #all: () => Iterable<Each>;
  readonly #found = new Map<string, Each>();

  constructor(all: () => Iterable<Each>) {
    this.#all = all;
  }

  /** The one that has the link now; undefined where nobody has. */
  ownerOf(ifindex: number, namespace: string | undefined): Each | undefined {
    const key = `${ifindex} ${namespace ?? ''}`;
    const isIts = (each: Each): boolean => each.namespace === namespace && each.owns(ifindex);
    const known = this.#found.get(key);
    if (known !== undefined && isIts(known)) return known;
    for (const each of this.#all()) {
      if (!isIts(each)) continue;
      this.#found.set(key, each);
      return each;
    }
    this.#found.delete(key);
    return undefined;
  }
}
