// Colours as vectors in a vecfs mount: node colours.js MOUNT
const fs = require('fs');

const mount = process.argv[2];
const colours = { red: [1, 0, 0], orange: [1, 0.5, 0], blue: [0, 0, 1] };

// Numbers as little-endian float32.
function floats(numbers) {
	const bytes = Buffer.alloc(4 * numbers.length);
	numbers.forEach((number, i) => bytes.writeFloatLE(number, 4 * i));
	return bytes;
}

for (const name in colours)
	fs.writeFileSync(`${mount}/vectors/${name}`, floats(colours[name]));

const run = fs.openSync(`${mount}/query/2/run`, 'r+');
fs.writeSync(run, floats([1, 0.2, 0.1]));
const answer = fs.readFileSync(run, 'utf8');
fs.closeSync(run);
for (const line of answer.trimEnd().split('\n')) {
	const [name, distance] = line.split('\t');
	console.log(`${name}\t${Number(distance).toFixed(3)}`);
}

for (const name in colours)
	fs.unlinkSync(`${mount}/vectors/${name}`);
