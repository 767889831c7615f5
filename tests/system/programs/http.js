// SPDX-License-Identifier: BSD-2-Clause
// node http.js serve HOST PORT | node http.js ask HOST PORT: requests over one connection and over many at once.
const http = require('http');
const [how, host, port] = process.argv.slice(2);

if (how === 'serve') {
	http.createServer((request, response) => {
		let size = 0;
		request.on('data', (part) => { size += part.length; });
		request.on('end', () => response.end(Buffer.alloc(size, 'b')));
	}).listen(Number(port), host);
	process.on('SIGTERM', () => process.exit(0));
} else {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
	const ask = (size) => new Promise((done, failed) => {
		const request = http.request({ host, port, agent, method: 'POST' }, (response) => {
			let got = 0;
			response.on('data', (part) => { got += part.length; });
			response.on('end', () => done(got === size));
		});
		request.on('error', failed);
		request.end(Buffer.alloc(size, 'a'));
	});
	const run = async () => {
		let good = 0;
		for (let i = 0; i < 100; i++)
			good += await ask(i * 100);
		const many = await Promise.all(Array.from({ length: 64 }, (_, i) => ask(i * 1000)));
		good += many.filter(Boolean).length;
		console.log(good);
		agent.destroy();
	};
	run();
}
