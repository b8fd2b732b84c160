// Loaded into a process with --require: at SIGUSR2 it keeps its loop busy for half a second.
process.on('SIGUSR2', () => {
  const untilMs = performance.now() + 500;
  while (performance.now() < untilMs);
});
