// Loaded into a process with --require: its collector tells of each collection. NODE_OPTIONS takes no --trace-gc.
require('node:v8').setFlagsFromString('--trace-gc');
