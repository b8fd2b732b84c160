/**
 * So often V8 has to see a function before it keeps what it learns of it. What a takeover needs is gone through as often when a
 * process starts, with nothing at stake: the first takeover, months later, would compile it while the addresses are nobody's.
 */
export const rehearsals = 10;
