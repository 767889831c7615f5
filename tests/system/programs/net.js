// SPDX-License-Identifier: BSD-2-Clause
// node net.js serve HOST PORT | node net.js ask HOST PORT: bytes that come back, of connections one after the other and
// at once. Who asks has said everything, and its end, before it has heard most of it.
const crypto = require('crypto');
const net = require('net');
const [how, host, port] = process.argv.slice(2);
const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');

if (how === 'serve') {
	net.createServer({ allowHalfOpen: true }, (peer) => peer.pipe(peer)).listen(Number(port), host);
	process.on('SIGTERM', () => process.exit(0));
} else {
	const ask = (size) => new Promise((done, failed) => {
		const said = crypto.randomBytes(size), parts = [];
		const peer = net.connect({ host, port, allowHalfOpen: true }, () => peer.end(said));
		peer.on('data', (part) => parts.push(part));
		peer.on('end', () => done(digest(Buffer.concat(parts)) === digest(said)));
		peer.on('error', failed);
	});
	const run = async () => {
		let good = 0;
		for (let i = 0; i < 50; i++)
			good += await ask(i * 100);
		const many = await Promise.all(Array.from({ length: 8 }, (_, i) => ask((i + 1) << 19)));
		good += many.filter(Boolean).length;
		console.log(good);
	};
	run();
}
