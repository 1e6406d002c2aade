import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSONText
import Media
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import TestSupport
import Testing

@testable import Gemma4Kit
@testable import Gemma4Server
@testable import Generation

private let path = "/v1/realtime?intent=transcription"

/// A client of a socket, as a program would be one.
private struct SocketClient {
    typealias Channel = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    let inbound: NIOAsyncChannelInboundStream<WebSocketFrame>
    let outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>

    /// - Throws: if the server does not agree to a socket.
    static func open<Value: Sendable>(
        _ port: Int, _ uri: String = path, headers: [(String, String)] = [],
        _ body: @escaping @Sendable (inout Reader, SocketClient) async throws -> Value
    ) async throws -> Value {
        let opened = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = NIOTypedWebSocketClientUpgrader<Channel?>(maxFrameSize: 1 << 24) { channel, _ in
                        channel.eventLoop.makeCompletedFuture {
                            try NIOAsyncChannel(wrappingChannelSynchronously: channel)
                        }
                    }
                    let head = HTTPRequestHead(
                        version: .http1_1, method: .GET, uri: uri,
                        headers: HTTPHeaders([("Host", "a.example")] + headers))
                    let configuration = NIOTypedHTTPClientUpgradeConfiguration(
                        upgradeRequestHead: head, upgraders: [upgrader],
                        notUpgradingCompletionHandler: { $0.eventLoop.makeSucceededFuture(nil) })
                    return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
                        configuration: .init(upgradeConfiguration: configuration))
                }
            }.get()
        let channel = try #require(opened, "no socket")
        return try await channel.executeThenClose { inbound, outbound in
            var reader = Reader(inbound)
            return try await body(&reader, SocketClient(inbound: inbound, outbound: outbound))
        }
    }

    func send(_ event: JSONValue) async throws { try await send(text: event.json) }

    func send(text: String, opcode: WebSocketOpcode = .text, fin: Bool = true) async throws {
        try await outbound.write(
            WebSocketFrame(fin: fin, opcode: opcode, maskKey: .random(), data: ByteBuffer(string: text)))
    }

    func append(_ samples: [Float]) async throws {
        let audio = Data(Sounds.pcm(samples)).base64EncodedString()
        try await send(["type": "input_audio_buffer.append", "audio": .string(audio)])
    }

    struct Reader {
        private var iterator: NIOAsyncChannelInboundStream<WebSocketFrame>.AsyncIterator
        /// The close code of the server.
        private(set) var end: WebSocketErrorCode?

        init(_ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>) { iterator = inbound.makeAsyncIterator() }

        /// Nil at the end.
        mutating func next() async throws -> JSONValue? {
            while let frame = try await iterator.next() {
                var data = frame.data
                switch frame.opcode {
                case .text: return try JSONValue(parsing: String(buffer: data))
                case .pong: return ["type": "pong", "data": .string(String(buffer: data))]
                case .connectionClose:
                    end = data.readWebSocketErrorCode()
                    return nil
                default: break
                }
            }
            return nil
        }

        /// The events until one of this type, which is the last.
        mutating func events(through type: String) async throws -> [JSONValue] {
            var events: [JSONValue] = []
            while let event = try await next() {
                events.append(event)
                if event["type"]?.string == type { return events }
            }
            Issue.record("no \(type) in \(events.map(\.json))")
            return events
        }
    }
}

extension Served {
    /// Opens a socket at this server.
    fileprivate func socket<Value: Sendable>(
        _ uri: String = path, headers: [(String, String)] = [],
        _ body: @escaping @Sendable (inout SocketClient.Reader, SocketClient) async throws -> Value
    ) async throws -> Value {
        try await test(.live) { try await SocketClient.open($0.port!, uri, headers: headers, body) }
    }

    /// The library's transcript of a piece.
    fileprivate func heard(_ piece: SpeechPiece) async throws -> String {
        try await pipeline.transcribe(.samples(piece.samples, sampleRate: 16_000)).transcript().text
    }
}

/// The samples as they arrive in 16 bits.
private func rounded(_ samples: [Float]) -> [Float] {
    let bytes = Sounds.pcm(samples)
    return stride(from: 0, to: bytes.count, by: 2).map {
        Float(Int16(truncatingIfNeeded: Int(bytes[$0]) | Int(bytes[$0 + 1]) << 8)) / 32_768
    }
}

private let at16Kilohertz: JSONValue = ["type": "audio/pcm", "rate": 16_000]

private func update(_ input: JSONValue) -> JSONValue {
    ["type": "session.update", "session": ["type": "transcription", "audio": ["input": input]]]
}

private func types(_ events: [JSONValue]) -> [String] { events.map { $0["type"]?.string ?? "" } }

/// Turns are detected in live sound, and transcribed text is streamed; it equals the library's.
@Test func turnsAreTranscribedWhileSoundComes() async throws {
    let served = try Served()
    let gap = Sounds.silence(seconds: 2)
    let samples = rounded(gap + Sounds.speech(seconds: 3) + gap + Sounds.speech(seconds: 3, seed: 2) + gap)
    var segmenter = SpeechSegmenter(.live)
    let pieces = segmenter.append(samples) + segmenter.finish()
    try #require(pieces.count == 2)
    let events = try await served.socket { reader, client in
        var events = try await reader.events(through: "session.created")
        try await client.send(update(["format": at16Kilohertz, "transcription": ["model": "any", "language": "en"]]))
        events += try await reader.events(through: "session.updated")
        for start in stride(from: 0, to: samples.count, by: 3200) {
            try await client.append(Array(samples[start..<min(samples.count, start + 3200)]))
        }
        for _ in 0..<2 {
            events += try await reader.events(through: "conversation.item.input_audio_transcription.completed")
        }
        return events
    }
    let session = try #require(events[1]["session"])
    #expect(session["type"] == "transcription" && session["audio"]?["input"]?["format"] == at16Kilohertz)
    #expect(session["audio"]?["input"]?["transcription"]?["language"] == "en")
    #expect(Set(events.map { $0["event_id"] }).count == events.count)
    let started = events.filter { $0["type"] == "input_audio_buffer.speech_started" }
    let stopped = events.filter { $0["type"] == "input_audio_buffer.speech_stopped" }
    let committed = events.filter { $0["type"] == "input_audio_buffer.committed" }
    let items = started.compactMap { $0["item_id"]?.string }
    #expect(Set(items).count == 2)
    #expect(stopped.compactMap { $0["item_id"]?.string } == items)
    #expect(committed.compactMap { $0["item_id"]?.string } == items)
    #expect(committed[0]["previous_item_id"] == .null && committed[1]["previous_item_id"] == .string(items[0]))
    #expect(started.map { $0["audio_start_ms"]?.integer } == pieces.map { $0.speech.lowerBound / 16 })
    #expect(stopped.map { $0["audio_end_ms"]?.integer } == pieces.map { $0.speech.upperBound / 16 })
    var options = TranscriptionOptions(language: Language(code: "en"))
    options.detectsSpeech = false
    for (item, piece) in zip(items, pieces) {
        let expected = try await served.pipeline.transcribe(
            .samples(piece.samples, sampleRate: 16_000), options: options
        ).transcript().text
        let own = events.filter { $0["item_id"] == .string(item) }
        let deltas = own.filter { $0["type"] == "conversation.item.input_audio_transcription.delta" }
        let completed = try #require(own.last)
        #expect(completed["transcript"] == .string(expected) && !expected.isEmpty)
        #expect(deltas.compactMap { $0["delta"]?.string }.joined().hasPrefix(expected) && deltas.count > 1)
        let seconds = try #require(completed["usage"]?["seconds"]?.double)
        #expect(abs(seconds - Double(piece.samples.count) / 16_000) < 1e-9)
    }
    let first = types(events.filter { $0["item_id"] == .string(items[0]) && $0["delta"] == nil })
    #expect(
        first == [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
            "conversation.item.input_audio_transcription.completed",
        ])
}

/// Without turn detection the client commits; cleared audio is not transcribed, and an empty commit is an error.
@Test func clientsCommitThemselves() async throws {
    let served = try Served()
    let sound = Sounds.speech(seconds: 2, level: -20)
    let (events, expected) = try await served.socket { reader, client in
        _ = try await reader.next()
        try await client.send(update(["format": at16Kilohertz, "turn_detection": nil]))
        try await client.append(Sounds.speech(seconds: 3))
        try await client.send(["type": "input_audio_buffer.clear"])
        try await client.send(["type": "input_audio_buffer.commit", "event_id": "mine"])
        try await client.append(sound)
        try await client.send(["type": "input_audio_buffer.commit"])
        let events = try await reader.events(through: "conversation.item.input_audio_transcription.completed")
        let samples = rounded(sound)
        return (
            events, try await served.pipeline.transcribe(.samples(samples, sampleRate: 16_000)).transcript().text
        )
    }
    #expect(events[0]["session"]?["audio"]?["input"]?["turn_detection"] == .null)
    let others = events.filter { $0["delta"] == nil }
    #expect(
        types(others) == [
            "session.updated", "input_audio_buffer.cleared", "error", "input_audio_buffer.committed",
            "conversation.item.added", "conversation.item.input_audio_transcription.completed",
        ])
    #expect(others[2]["error"]?["code"] == "input_audio_buffer_commit_empty")
    #expect(others[2]["error"]?["event_id"] == "mine")
    #expect(others.last?["transcript"] == .string(expected))
}

/// Event names of before `session.update`, for older clients; sound at 24 kHz.
@Test func olderClientsAreUnderstood() async throws {
    let served = try Served()
    let events = try await served.socket(headers: [("OpenAI-Beta", "realtime=v1")]) { reader, client in
        var events = try await reader.events(through: "transcription_session.created")
        try await client.send([
            "type": "transcription_session.update",
            "session": [
                "input_audio_format": "pcm16", "input_audio_transcription": ["model": "any", "prompt": "Zoë"],
                "turn_detection": ["type": "server_vad", "silence_duration_ms": 700, "threshold": 0.4],
            ],
        ])
        events += try await reader.events(through: "transcription_session.updated")
        // 16 kHz called 24: faster, and still speech.
        try await client.append(Sounds.speech(seconds: 4) + Sounds.silence(seconds: 4))
        return events + (try await reader.events(through: "conversation.item.created"))
    }
    let session = try #require(events[1]["session"])
    #expect(session["input_audio_transcription"]?["prompt"] == "Zoë")
    #expect(session["turn_detection"]?["silence_duration_ms"] == 700)
    let stopped = try #require(events.first { $0["type"] == "input_audio_buffer.speech_stopped" })
    #expect(abs(stopped["audio_end_ms"]!.integer! - 2667) < 150)
}

@Test func eventsThatMeanNothingAreRefused() async throws {
    let served = try Served()
    let wrong: [(String, String)] = [
        ("{", "is no JSON"), (#"{"type": "response.create"}"#, "expected session.update"), ("{}", "found nothing"),
        (#"{"type": "input_audio_buffer.append", "audio": "%"}"#, "audio: expected 16-bit samples in base64"),
        (#"{"type": "session.update"}"#, "session: expected an object"),
        (update(["turn_detection": ["type": "semantic_vad"]]).json, "session.audio.input.turn_detection.type"),
        (update(["format": ["type": "audio/pcmu"]]).json, "session.audio.input.format.type: expected audio/pcm"),
        (update(["transcription": ["language": "xx-yy-zz"]]).json, "language: expected a code"),
        (update(["noise_reduction": ["type": "near_field"]]).json, "sound is heard as it comes"),
        (#"{"type": "session.update", "session": {"type": "realtime"}}"#, "session.type: expected transcription"),
    ]
    let events = try await served.socket { reader, client in
        _ = try await reader.next()
        var events: [JSONValue] = []
        for (text, _) in wrong {
            try await client.send(text: text)
            events.append(try #require(try await reader.next()))
        }
        // And the socket lives.
        try await client.send(text: "ping", opcode: .ping)
        #expect(try await reader.next()?["data"] == "ping")
        try await client.send(text: #"{"type": "input_audio_"#, fin: false)
        try await client.send(text: #"buffer.clear"}"#, opcode: .continuation)
        #expect(try await reader.next()?["type"] == "input_audio_buffer.cleared")
        return events
    }
    for ((text, message), event) in zip(wrong, events) {
        #expect(event["type"] == "error", "\(text)")
        #expect(event["error"]?["message"]?.string?.contains(message) == true, "\(text): \(event.json)")
    }
}

/// Unauthorized and invalid upgrade requests get an HTTP error instead of a socket.
@Test func socketsAreRefusedWithAStatus() async throws {
    let directory = try TemporaryDirectory()
    let file = URL(filePath: try directory.write(Array("secret\n".utf8), to: "keys"))
    let keys = try APIKeys(contentsOf: file)
    let served = try Served { $0.keys = keys }
    let key = ("Authorization", "Bearer secret")
    for (uri, headers, status) in [
        (path, [], 401), (path, [("Authorization", "Bearer other")], 401), ("/v1/realtime", [key], 400),
        ("/v1/realtime?intent=conversation", [key], 400), (path, [key, ("Origin", "https://evil.example")], 403),
        (path, [key], 426),
    ] {
        let response = try await served.test { client in
            var fields = HTTPFields()
            for (name, value) in headers { fields[.init(name)!] = value }
            return try await client.execute(uri: uri, method: .get, headers: fields)
        }
        #expect(response.status.code == status, "\(uri) \(headers)")
        guard status != 426 else { continue }
        await #expect(throws: (any Error).self, "\(uri) \(headers)") {
            try await served.socket(uri, headers: headers) { reader, _ in _ = try await reader.next() }
        }
    }
    for headers in [
        [key, ("Origin", "http://a.example")], [("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.secret")],
    ] {
        let first = try await served.socket(headers: headers) { reader, _ in try await reader.next() }
        #expect(first?["type"] == "session.created")
    }
    let embedder = Served(
        embedder: try Embedder(contentsOf: URL(filePath: EmbeddingGoldens.checkpoint), threadCount: 2))
    let response = try await embedder.test { try await $0.execute(uri: path, method: .get) }
    #expect(response.status == .badRequest)
    #expect(try response.json["error"]?["message"] == "tiny hears nothing")
}

/// A socket takes a place while it is open; without a free place it is refused.
@Test func socketsTakePlaces() async throws {
    let served = try Served { $0.answers = 1 }
    try await served.test(.live) { client in
        let port = client.port!
        try await SocketClient.open(port) { reader, _ in
            _ = try await reader.next()
            #expect(served.server.admission.taken == 1)
            let (event, end) = try await SocketClient.open(port) { reader, _ in
                let event = try await reader.next()
                _ = try await reader.next()
                return (event, reader.end)
            }
            #expect(event?["error"]?["code"] == "rate_limit_exceeded" && end == .init(codeNumber: 1013))
        }
        let deadline = ContinuousClock.now + .seconds(20)
        while served.server.admission.taken > 0, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(5))
        }
        #expect(served.server.admission.taken == 0)
    }
}

/// Limits of idle time, message size, and uncommitted sound.
@Test func socketsHaveLimits() async throws {
    let silent = try Served { $0.realtimeIdle = .milliseconds(50) }
    let (event, end) = try await silent.socket { reader, _ in
        _ = try await reader.next()
        let event = try await reader.next()
        _ = try await reader.next()
        return (event, reader.end)
    }
    #expect(event?["error"]?["code"] == "session_idle" && end == .normalClosure)
    let small = try Served {
        $0.realtimeMessageBytes = 200_000
        $0.realtimeBufferSeconds = 3
    }
    let (events, tooLarge) = try await small.socket { reader, client in
        _ = try await reader.next()
        try await client.send(update(["format": at16Kilohertz, "turn_detection": nil]))
        for _ in 0..<2 { try await client.append(Sounds.speech(seconds: 2)) }
        let events = try await reader.events(through: "error")
        for _ in 0..<3 {
            try await client.send(text: String(repeating: "a", count: 100_000), opcode: .continuation, fin: false)
        }
        while try await reader.next() != nil {}
        return (events, reader.end)
    }
    #expect(events.last?["error"]?["code"] == "buffer_full")
    #expect(tooLarge == .messageTooLarge || tooLarge == .protocolError)
}

/// On shutdown the server closes its sockets, and does not wait for their clients.
@Test func socketsEndWithTheServer() async throws {
    let served = try Served()
    let ended = try await withThrowingTaskGroup(of: WebSocketErrorCode?.self) { group in
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let (opened, open) = AsyncStream.makeStream(of: Void.self)
        group.addTask {
            var numbers = ports.makeAsyncIterator()
            return try await SocketClient.open(await numbers.next()!) { reader, _ in
                _ = try await reader.next()
                open.finish()
                while try await reader.next() != nil {}
                return reader.end
            }
        }
        try await served.test(.live) { client in
            port.yield(client.port!)
            for await _ in opened {}
        }
        return try await group.next()!
    }
    #expect(ended == .goingAway)
}
