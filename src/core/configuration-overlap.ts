/** How long adverts of the configuration before are taken after a switch: longer than NATS takes to elect a leader. */
export const overlapMs = 15_000;

/**
 * Adverts in two configurations at once. The nodes of a virtual router read the switch within milliseconds of each other,
 * but not at one instant: whoever has prepared another configuration takes adverts in it already, and for a while after
 * the switch those in the one before. `Reader`: what reads adverts in one configuration.
 */
export class ConfigurationOverlap<Reader> {
  #expected: Reader | undefined;
  #former: { readonly reader: Reader; readonly untilMs: number } | undefined;

  /** Another configuration is prepared; undefined where none is any more. */
  expect(reader: Reader | undefined): void {
    this.#expected = reader;
  }

  /** This one was in force until now. */
  replaced(reader: Reader, atMs: number): void {
    this.#former = { reader, untilMs: atMs + overlapMs };
  }

  /** Who is asked, in turn, where the present configuration refuses an advert. */
  others(atMs: number): readonly Reader[] {
    if (this.#former !== undefined && atMs >= this.#former.untilMs) this.#former = undefined;
    return [this.#expected, this.#former?.reader].filter((reader) => reader !== undefined);
  }
}
