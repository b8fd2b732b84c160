import { z } from 'zod';
import { configSchema } from './schema.js';

const { node, stateDir, log } = configSchema.shape;

/** The configuration file of `koi witness`: of a node's, the part that describes a nats-server. */
export const witnessSchema = z
  .strictObject({ node, stateDir, log })
  .meta({ title: 'koi witness', description: 'The configuration file of koi witness' });
export type WitnessDocument = z.output<typeof witnessSchema>;
