/** Time as a component is given it: the real one, or a test's or the simulator's. */
export interface LogTimers {
  /** Monotonic milliseconds, except where a caller says otherwise. */
  nowMs(): number;
  /** Runs `action` once after `delayMs`, at once where that has passed; the returned function calls it off. */
  after(delayMs: number, action: () => void): () => void;
}

export const realTimers: LogTimers = {
  nowMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};
