import Foundation
import TestSupport
import Testing

/// `gemma4 serve` as an operator runs it: at a socket in the file system, ended by a signal.
@Suite struct ServeTests {
    /// A server that has begun to listen.
    private final class Running {
        let process: Process
        let directory: TemporaryDirectory
        var socket: String { "\(directory.path)/socket" }
        var messages: String { (try? String(contentsOfFile: "\(directory.path)/messages", encoding: .utf8)) ?? "" }

        init(
            _ arguments: String..., model: String = Goldens.checkpoint("E2B"), in directory: TemporaryDirectory
        ) async throws {
            self.directory = directory
            var program = Program("serve", "--model", model)
            program.arguments += ["--unix-socket", "\(directory.path)/socket"] + arguments
            process = program.process()
            let messages = try directory.write([], to: "messages")
            process.standardError = try FileHandle(forWritingTo: URL(filePath: messages))
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            while process.isRunning, !self.messages.contains("listens at") {
                try await Task.sleep(for: .milliseconds(10))
            }
        }

        deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

        func end() async throws -> Int32 {
            if process.isRunning { process.terminate() }
            while process.isRunning { try await Task.sleep(for: .milliseconds(10)) }
            return process.terminationStatus
        }

        /// Sends a request.
        ///
        /// - Returns: the connection, to read the answer from.
        func connect(_ request: String) throws -> FileHandle {
            let descriptor = Foundation.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: socket.utf8) }
            let status = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try #require(status == 0)
            let connection = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
            try connection.write(contentsOf: Data(request.utf8))
            return connection
        }

        func get(_ path: String, _ headers: String = "") throws -> String {
            let connection = try connect("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\(headers)\r\n")
            return String(decoding: try connection.readToEnd() ?? Data(), as: UTF8.self)
        }
    }

    /// After the signal, answers in progress are completed, and the socket is removed.
    @Test func endsGracefully() async throws {
        let directory = try TemporaryDirectory()
        let server = try await Running("--model-name", "tiny", in: directory)
        #expect(try server.get("/v1/models").contains("\"tiny\""))
        let body =
            #"{"messages": [{"role": "user", "content": "one"}], "max_tokens": 400, "ignore_eos": true, "temperature": 1, "seed": 1, "stream": true}"#
        let connection = try server.connect(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        var answer = try connection.read(upToCount: 1) ?? Data()
        server.process.terminate()
        answer += try connection.readToEnd() ?? Data()
        #expect(String(decoding: answer, as: UTF8.self).contains("data: [DONE]"))
        #expect(try await server.end() == 0)
        #expect(!FileManager.default.fileExists(atPath: server.socket))
        for line in server.messages.split(separator: "\n") {
            #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(line.utf8)) }
        }
    }

    /// An embedding model is served like a generative one.
    @Test func servesEmbeddings() async throws {
        let directory = try TemporaryDirectory()
        let server = try await Running(model: EmbeddingGoldens.checkpoint, in: directory)
        let body = #"{"input": ["one", "two"], "dimensions": 128}"#
        let connection = try server.connect(
            "POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        let answer = String(decoding: try connection.readToEnd() ?? Data(), as: UTF8.self)
        #expect(answer.contains("200 OK") && answer.components(separatedBy: #""embedding": ["#).count == 3)
        #expect(try await server.end() == 0)
    }

    /// SIGHUP reloads the keys without ending the server.
    @Test func keysAreReadAnew() async throws {
        let directory = try TemporaryDirectory()
        let keys = try directory.write(Array("old\n".utf8), to: "keys")
        let server = try await Running("--api-key-file", keys, in: directory)
        #expect(try server.get("/v1/models", "Authorization: Bearer old\r\n").contains("200 OK"))
        try Data("new\n".utf8).write(to: URL(filePath: keys))
        kill(server.process.processIdentifier, SIGHUP)
        while server.process.isRunning, !server.messages.contains("read 1 keys anew") {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(try server.get("/v1/models", "Authorization: Bearer old\r\n").contains("401 Unauthorized"))
        #expect(try server.get("/v1/models", "Authorization: Bearer new\r\n").contains("200 OK"))
        #expect(try await server.end() == 0)
    }

    /// A failure to listen is reported with a remedy; a stale socket is replaced.
    @Test func saysWhyItCannotListen() async throws {
        let directory = try TemporaryDirectory()
        let server = try await Running(in: directory)
        let model = Goldens.checkpoint("E2B")
        let second = try await Program("serve", "--model", model, "--unix-socket", server.socket).run()
        #expect(second.status == 69)
        #expect(second.messages.contains("\(server.socket): cannot listen: another server listens there"))
        kill(server.process.processIdentifier, SIGKILL)
        while server.process.isRunning { try await Task.sleep(for: .milliseconds(10)) }
        #expect(FileManager.default.fileExists(atPath: server.socket))
        let third = try await Running(in: directory)
        #expect(try third.get("/health").contains("200 OK"))
        #expect(try await third.end() == 0)
        let file = try directory.write(Array("mine".utf8), to: "file")
        #expect(try await Program("serve", "--model", model, "--unix-socket", file).run().status == 69)
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "mine")
        let nowhere = try await Program("serve", "--model", model, "--host", "203.0.113.7", "--port", "0").run()
        #expect(nowhere.status == 69 && nowhere.messages.contains("203.0.113.7:0: cannot listen: "))
    }

    @Test(arguments: [
        (["--port", "70000"], "--port: expected 0 to 65535, found 70000", Int32(64)),
        (["--parallel", "0"], "--parallel: expected 1 to 1024", 64),
        (["--tls-key", "a.pem"], "--tls-certificate and --tls-key belong together", 64),
        (
            ["--tls-key", "missing.pem", "--tls-certificate", "missing.pem"],
            "missing.pem: expected certificates in PEM", 65
        ),
        (["--api-key-file", "missing"], "missing: cannot be read", 66),
        (["--per-key", "0"], "--per-key: expected 1 to", 64),
        (["--allow-url", "http://a.example/"], "--allow-url: expected a host such as example.com", 64),
        (["--media-root", "missing"], "missing: cannot be read: expected a folder", 66),
    ])
    func refusesArguments(arguments: [String], message: String, status: Int32) async throws {
        var program = Program("serve", "--model", Goldens.checkpoint("E2B"))
        program.arguments += arguments
        let outcome = try await program.run()
        #expect(outcome.status == status && outcome.messages.contains(message), "\(outcome.messages)")
    }
}
