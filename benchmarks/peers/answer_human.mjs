// The emotion network of @vladmandic/human (oarriaga's big XCEPTION) on the faces that peers.py wrote, preprocessed
// as that package does it. It answers in FER2013's order.
//
//   node benchmarks/peers/answer_human.mjs OUT

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const out = resolve(process.argv[2]);
const require = createRequire(join(out, 'package.json'));
const tf = require('@tensorflow/tfjs');
require('@tensorflow/tfjs-backend-wasm').setWasmPaths(join(out, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
await tf.setBackend('wasm');

const models = join(out, 'node_modules/@vladmandic/human/models');
const { modelTopology, weightsManifest, format, userDefinedMetadata } = JSON.parse(readFileSync(join(models, 'emotion.json')));
const model = await tf.loadGraphModel({
  load: async () => ({
    modelTopology,
    weightSpecs: weightsManifest[0].weights,
    weightData: new Uint8Array(readFileSync(join(models, 'emotion.bin'))).buffer,
    format,
    userDefinedMetadata,
  }),
});

const faces = new Uint8Array(readFileSync(join(out, 'faces.u8')));
const face = 48 * 48;
const answers = [];
for (let start = 0; start < faces.length; start += 64 * face) {
  const part = faces.slice(start, start + 64 * face);
  const answer = tf.tidy(() => {
    const batch = tf.image.resizeBilinear(tf.tensor4d(part, [part.length / face, 48, 48, 1], 'float32'), [64, 64]);
    return model.execute(batch.div(255).sub(0.5).mul(2));
  });
  answers.push(...(await answer.data()));
  answer.dispose();
}
writeFileSync(join(out, 'human.f32'), new Uint8Array(new Float32Array(answers).buffer));
console.log(`${answers.length / 7} faces`);
