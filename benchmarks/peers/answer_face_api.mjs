// The expression network of @vladmandic/face-api (as in face-api.js) on the faces that peers.py wrote, by that package's
// own call.
//
//   node benchmarks/peers/answer_face_api.mjs OUT

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const out = resolve(process.argv[2]);
const require = createRequire(join(out, 'package.json'));
require('@tensorflow/tfjs');
require('@tensorflow/tfjs-backend-wasm').setWasmPaths(join(out, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
const faceapi = require('@vladmandic/face-api/dist/face-api.node-wasm.js');
await faceapi.tf.setBackend('wasm');
await faceapi.nets.faceExpressionNet.loadFromDisk(join(out, 'node_modules/@vladmandic/face-api/model'));

const names = ['angry', 'disgusted', 'fearful', 'happy', 'sad', 'surprised', 'neutral']; // FER2013's order
const faces = new Uint8Array(readFileSync(join(out, 'faces.u8')));
const face = 48 * 48;
const answers = [];
for (let start = 0; start < faces.length; start += face) {
  const gray = faceapi.tf.tensor3d(faces.slice(start, start + face), [48, 48, 1], 'int32');
  const image = faceapi.tf.tile(gray, [1, 1, 3]);
  const answer = await faceapi.nets.faceExpressionNet.predictExpressions(image);
  answers.push(...names.map((name) => answer[name]));
  gray.dispose();
  image.dispose();
}
writeFileSync(join(out, 'face-api.f32'), new Uint8Array(new Float32Array(answers).buffer));
console.log(`${answers.length / 7} faces`);
