import { runInMachine } from './boot.js';
import { buildImage } from './image.js';

const [name = 'rebuild', ...options] = process.argv.slice(2);
const t = Date.now();
const image = buildImage();
console.log('image', Date.now() - t, 'ms', image.digest);
console.log((await runInMachine(image, name, options, 560_000)).join('\n'));
console.log('took', Date.now() - t);
