// SPDX-License-Identifier: BSD-2-Clause
// Web.java serve|ask HOST PORT - servers of the three kinds that Java has, and who asks each of them by each kind of client.
//
// PORT      com.sun.net.httpserver, four threads: /bytes?N gives N bytes, /echo what it is given, /run what tr makes of that
// PORT + 1  channels and a selector: gives back what it gets
// PORT + 2  a socket and a thread for each connection: lines in capitals; "wait" has no answer
//
// ask looks at every answer and says how many there were.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;

public class Web {
	static final int CHANNELS = 8, EACH = 256 * 1024, GUARD_MS = 60_000;
	static int checks;

	public static void main(String[] args) throws Exception {
		InetAddress host = InetAddress.getByName(args[1]);
		int port = Integer.parseInt(args[2]);

		if (args[0].equals("serve")) {
			serveLines(host, port + 2);
			serveChannels(host, port + 1);
			serveWeb(host, port);
			return;
		}
		askClient(host, port);
		askUrls(host, port);
		askChannels(host, port + 1);
		askLines(host, port + 2);
		askNobody(host, port + 9);
		System.out.println(checks);
	}

	static void check(boolean holds, String what) {
		if (!holds)
			throw new AssertionError(what);
		checks++;
	}

	static byte[] bytes(int n) {
		byte[] made = new byte[n];

		new Random(n).nextBytes(made);
		return made;
	}

	// --- servers ---

	static void serveWeb(InetAddress host, int port) throws IOException {
		HttpServer server = HttpServer.create(new InetSocketAddress(host, port), 64);

		server.createContext("/bytes", x -> answer(x, bytes(Integer.parseInt(x.getRequestURI().getQuery()))));
		server.createContext("/echo", x -> answer(x, x.getRequestBody().readAllBytes()));
		server.createContext("/run", x -> answer(x, run(x.getRequestBody().readAllBytes())));
		server.setExecutor(Executors.newFixedThreadPool(4));
		server.start();
	}

	static void answer(HttpExchange exchange, byte[] body) throws IOException {
		exchange.sendResponseHeaders(200, body.length == 0 ? -1 : body.length);
		try (OutputStream out = exchange.getResponseBody()) {
			out.write(body);
		}
	}

	static byte[] run(byte[] input) throws IOException {
		Process process = new ProcessBuilder("tr", "a-z", "A-Z").start();

		try (OutputStream to = process.getOutputStream()) {
			to.write(input);
		}
		byte[] output = process.getInputStream().readAllBytes();
		try {
			if (process.waitFor() != 0)
				throw new IOException("tr failed");
		} catch (InterruptedException e) {
			throw new IOException(e);
		}
		return output;
	}

	static void serveChannels(InetAddress host, int port) throws IOException {
		ServerSocketChannel listener = ServerSocketChannel.open();
		Selector selector = Selector.open();

		listener.bind(new InetSocketAddress(host, port));
		listener.configureBlocking(false);
		listener.register(selector, SelectionKey.OP_ACCEPT);
		start(() -> {
			while (selector.select() >= 0) {
				for (SelectionKey key : selector.selectedKeys()) {
					if (key.isAcceptable()) {
						SocketChannel peer = listener.accept();

						peer.configureBlocking(false);
						peer.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(65536));
					} else {
						giveBack(key);
					}
				}
				selector.selectedKeys().clear();
			}
		});
	}

	// Reads while all of what was read has been written, else waits until it can write.
	static void giveBack(SelectionKey key) throws IOException {
		SocketChannel peer = (SocketChannel) key.channel();
		ByteBuffer data = (ByteBuffer) key.attachment();

		if (key.isReadable() && peer.read(data) < 0) {
			peer.close();
			return;
		}
		data.flip();
		peer.write(data);
		key.interestOps(data.hasRemaining() ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
		data.compact();
	}

	static void serveLines(InetAddress host, int port) throws IOException {
		ServerSocket listener = new ServerSocket(port, 64, host);

		start(() -> {
			while (true) {
				Socket peer = listener.accept();

				start(() -> capitals(peer));
			}
		});
	}

	static void capitals(Socket peer) throws IOException {
		try (peer) {
			BufferedReader in = new BufferedReader(new InputStreamReader(peer.getInputStream()));
			PrintStream out = new PrintStream(peer.getOutputStream(), true);

			for (String line = in.readLine(); line != null; line = in.readLine())
				if (!line.equals("wait"))
					out.print(line.toUpperCase() + "\n");
			out.print("the end\n");
		}
	}

	interface Body {
		void run() throws Exception;
	}

	static void start(Body body) {
		Thread thread = new Thread(() -> {
			try {
				body.run();
			} catch (Exception e) {
				e.printStackTrace();
				System.exit(1);
			}
		});

		thread.setDaemon(true);
		thread.start();
	}

	// --- clients ---

	static URI uri(InetAddress host, int port, String path) {
		return URI.create("http://" + host.getHostAddress() + ":" + port + path);
	}

	// Forty at once, over as many connections as it likes.
	static void askClient(InetAddress host, int port) throws Exception {
		HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
		List<CompletableFuture<HttpResponse<byte[]>>> answers = new ArrayList<>();

		for (int i = 0; i < 40; i++)
			answers.add(client.sendAsync(HttpRequest.newBuilder(uri(host, port, "/bytes?" + i * 5000)).build(),
						     BodyHandlers.ofByteArray()));
		for (int i = 0; i < 40; i++) {
			HttpResponse<byte[]> answer = answers.get(i).get();

			check(answer.statusCode() == 200 && Arrays.equals(answer.body(), bytes(i * 5000)), "/bytes " + i);
		}
		for (int i = 0; i < 10; i++) {
			HttpRequest request = HttpRequest.newBuilder(uri(host, port, "/run"))
						      .POST(BodyPublishers.ofString("words ".repeat(i * 1000 + 1))).build();
			String got = client.send(request, BodyHandlers.ofString()).body();

			check(got.equals("WORDS ".repeat(i * 1000 + 1)), "/run " + i);
		}
	}

	static void askUrls(InetAddress host, int port) throws IOException {
		for (int i = 0; i < 20; i++) {
			URL url = uri(host, port, "/echo").toURL();
			HttpURLConnection connection = (HttpURLConnection) url.openConnection();
			byte[] sent = bytes(i * 7000 + 1);

			connection.setReadTimeout(GUARD_MS);
			connection.setDoOutput(true);
			connection.getOutputStream().write(sent);
			check(Arrays.equals(connection.getInputStream().readAllBytes(), sent), "/echo " + i);
		}
	}

	static class Exchange {
		final ByteBuffer out, in = ByteBuffer.allocate(EACH);

		Exchange(int seed) {
			byte[] made = new byte[EACH];

			new Random(seed).nextBytes(made);
			out = ByteBuffer.wrap(made);
		}
	}

	// Connects, writes and reads all at a time.
	static void askChannels(InetAddress host, int port) throws IOException {
		Selector selector = Selector.open();
		int open = CHANNELS;

		for (int i = 0; i < CHANNELS; i++) {
			SocketChannel peer = SocketChannel.open();

			peer.configureBlocking(false);
			boolean done = peer.connect(new InetSocketAddress(host, port));
			peer.register(selector, done ? SelectionKey.OP_READ | SelectionKey.OP_WRITE : SelectionKey.OP_CONNECT,
				      new Exchange(i));
		}
		while (open > 0) {
			if (selector.select(GUARD_MS) == 0)
				throw new IOException("no channel is ready");
			for (SelectionKey key : selector.selectedKeys())
				open -= advance(key) ? 1 : 0;
			selector.selectedKeys().clear();
		}
	}

	static boolean advance(SelectionKey key) throws IOException {
		SocketChannel peer = (SocketChannel) key.channel();
		Exchange exchange = (Exchange) key.attachment();

		if (key.isConnectable() && peer.finishConnect())
			key.interestOps(SelectionKey.OP_READ | SelectionKey.OP_WRITE);
		if (key.isValid() && key.isWritable() && peer.write(exchange.out) >= 0 && !exchange.out.hasRemaining())
			key.interestOps(SelectionKey.OP_READ);
		if (key.isReadable() && peer.read(exchange.in) < 0)
			throw new IOException("the end");
		if (exchange.in.hasRemaining())
			return false;
		check(Arrays.equals(exchange.in.array(), exchange.out.array()), "what comes back");
		peer.close();
		return true;
	}

	static void askLines(InetAddress host, int port) throws IOException {
		try (Socket peer = new Socket(host, port)) {
			BufferedReader in = new BufferedReader(new InputStreamReader(peer.getInputStream()));

			peer.setSoTimeout(GUARD_MS);
			for (int i = 0; i < 20; i++) {
				send(peer, "line " + i);
				check(in.readLine().equals("LINE " + i), "line " + i);
			}
			send(peer, "wait");
			peer.setSoTimeout(200);
			try {
				in.readLine();
				check(false, "an answer to nothing");
			} catch (SocketTimeoutException e) {
				check(true, "");
			}
			peer.setSoTimeout(GUARD_MS);
			peer.shutdownOutput();
			check(in.readLine().equals("the end") && in.readLine() == null, "half closed");
		}
	}

	static void send(Socket peer, String line) throws IOException {
		peer.getOutputStream().write((line + "\n").getBytes(StandardCharsets.US_ASCII));
	}

	static void askNobody(InetAddress host, int port) throws IOException {
		try (Socket peer = new Socket(host, port)) {
			check(false, "somebody at " + peer);
		} catch (ConnectException e) {
			check(e.getMessage().startsWith("Connection refused"), e.toString());
		}
	}
}
