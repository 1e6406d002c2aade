import AsyncAlgorithms
import Foundation
import Gemma4Kit
import Hummingbird
import Logging
import Media
import Metrics
import NIOCore
import NIOWebSocket
import ServiceLifecycle
import Transcription

extension ModelServer {
    /// Serves a socket until the client disconnects, is idle for too long, or the server ends.
    func realtime(_ socket: UpgradableChannel.Socket, _ request: RealtimeRequest) async {
        let start = ContinuousClock.now
        do {
            try await socket.executeThenClose { inbound, outbound in
                var end = WebSocketErrorCode.unexpectedServerError
                do {
                    let places = try admission.enter(1, of: request.client)
                    defer { places.leave() }
                    end = try await RealtimeSession(self, request, outbound).run(inbound)
                } catch let error as WireError {
                    try await outbound.write(RealtimeSession.frame(RealtimeSession.event(error)))
                    end = .init(codeNumber: 1013)
                } catch is NIOWebSocketFrameAggregator.Error {
                    end = .messageTooLarge
                }
                var code = ByteBuffer()
                code.write(webSocketErrorCode: end)
                try await outbound.write(WebSocketFrame(fin: true, opcode: .connectionClose, data: code))
            }
        } catch {
            logger.debug("a socket has ended: \(error)")
        }
        let dimensions = [("method", "GET"), ("path", RealtimeRequest.path), ("status", "101")]
        Counter(label: "http_requests_total", dimensions: dimensions, factory: metrics).increment()
        logger.info(
            "GET \(RealtimeRequest.path)",
            metadata: [
                "status": "101", "seconds": .stringConvertible((ContinuousClock.now - start) / .seconds(1)),
            ])
    }
}

/// A client that sends audio and receives transcripts.
///
/// One task reads messages, detects turns and enqueues their pieces; another transcribes them one by one. Backpressure:
/// while the queue is full, the socket is not read.
actor RealtimeSession {
    typealias Outbound = NIOAsyncChannelOutboundWriter<WebSocketFrame>

    /// One step of the work on an item.
    private struct Job: Sendable {
        enum Step: Sendable {
            case hear(SpeechPiece)
            case end, forget
        }

        let item: String
        let step: Step
    }

    /// Maximum number of pieces, of at most 10 s, in the queue.
    private static let waitingPieces = 8
    /// Minimum length of committed sound: 100 ms, as at OpenAI.
    private static let fewestSamples = AudioReader.sampleRate / 10

    private let server: ModelServer
    private let isBeta: Bool
    private let client: Client?
    private let outbound: Outbound
    private let id = "sess_\(WireID.random)"
    private let jobs = AsyncChannel<Job>()
    private var configuration: RealtimeConfiguration
    private var sound: PCMBlocks
    private var turns = SpeechTurns()
    /// Audio at 16 kHz that the client has not committed.
    private var buffer: [Float] = []
    /// Samples at 16 kHz received before those of `turns`, and since.
    private var (forgotten, received) = (0, 0)
    /// The current item.
    private var item: String?
    private var previousItem: String?
    private var lastMessage = ContinuousClock.now

    init(_ server: ModelServer, _ request: RealtimeRequest, _ outbound: Outbound) throws {
        (self.server, isBeta, client, self.outbound) = (server, request.isBeta, request.client, outbound)
        configuration = RealtimeConfiguration(model: server.options.modelName, isBeta: request.isBeta)
        sound = try PCMBlocks(.s16le, sampleRate: configuration.sampleRate, name: "audio")
    }

    /// - Returns: the WebSocket close code.
    /// - Throws: if the client disconnected without closing.
    func run(_ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>) async throws -> WebSocketErrorCode {
        try await send(sessionEvent("created"), [.init("session", configuration.object(id: id))])
        return try await withThrowingTaskGroup(of: WebSocketErrorCode.self) { group in
            group.addTask { try await self.read(inbound) }
            group.addTask { try await self.hear() }
            group.addTask { try await self.endWhenIdle() }
            group.addTask {
                try await gracefulShutdown()
                return .goingAway
            }
            defer { group.cancelAll() }
            return try await group.next()!
        }
    }

    private func sessionEvent(_ what: String) -> String { (isBeta ? "transcription_session." : "session.") + what }

    // MARK: Receiving

    private func read(_ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>) async throws -> WebSocketErrorCode {
        for try await frame in inbound {
            lastMessage = .now
            switch frame.opcode {
            case .text: try await receive(String(buffer: frame.unmaskedData))
            case .binary: return .unacceptableData
            case .ping:
                try await outbound.write(WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData))
            case .connectionClose: return .normalClosure
            default: break
            }
        }
        throw ChannelError.inputClosed
    }

    private func endWhenIdle() async throws -> WebSocketErrorCode {
        while true {
            let left = server.options.realtimeIdle - (ContinuousClock.now - lastMessage)
            guard left > .zero else { break }
            try await Task.sleep(for: left)
        }
        try await send(
            WireError(.requestTimeout, "nothing has come for \(server.options.realtimeIdle)", code: "session_idle"))
        return .normalClosure
    }

    private func receive(_ text: String) async throws {
        var id: String?
        do {
            let fields: RequestFields
            do { fields = RequestFields(value: try JSONValue(parsing: text)) } catch {
                throw WireError(.badRequest, "the message is no JSON: \(error)", code: "invalid_json")
            }
            id = fields["event_id"]?.string
            try await receive(fields)
        } catch let error as WireError {
            try await send(error, about: id)
        }
    }

    private func receive(_ event: RequestFields) async throws {
        switch try event.string("type") {
        case "session.update", "transcription_session.update":
            guard let session = try event.object("session") else { throw event.error("session", "an object") }
            let before = configuration
            try configuration.update(session)
            if !configuration.hears(as: before) { try await forget() }
            try await send(sessionEvent("updated"), [.init("session", configuration.object(id: id))])
        case "input_audio_buffer.append":
            guard let text = try event.string("audio"), let bytes = Data(base64Encoded: text) else {
                throw event.error("audio", "16-bit samples in base64")
            }
            try await take(sound.append(Array(bytes)))
        case "input_audio_buffer.commit": try await commit()
        case "input_audio_buffer.clear":
            try await forget()
            try await send("input_audio_buffer.cleared", [])
        case let type:
            throw WireError(
                .badRequest,
                "type: expected session.update, input_audio_buffer.append, .commit or .clear, found "
                    + (type.map { String($0.prefix(80)) } ?? "nothing"), parameter: "type", code: "invalid_value")
        }
    }

    private func take(_ samples: [Float]) async throws {
        received += samples.count
        guard configuration.turns == nil else {
            for event in turns.append(samples) { try await happen(event) }
            return
        }
        let limit = server.options.realtimeBufferSeconds
        guard buffer.count + samples.count <= limit * AudioReader.sampleRate else {
            throw WireError(
                .contentTooLarge, "audio: expected a commit after at most \(limit) s; this sound is left out",
                parameter: "audio", code: "buffer_full")
        }
        buffer += samples
    }

    /// The client commits the audio that it has sent.
    private func commit() async throws {
        try await take(sound.finish())
        guard configuration.turns == nil else {
            let events = turns.finish()
            guard !events.isEmpty || item != nil else { return try await renew(refusing: true) }
            for event in events { try await happen(event) }
            if item != nil { try await endTurn(at: received) }
            return try await renew()
        }
        guard buffer.count >= Self.fewestSamples else { return try await renew(refusing: true) }
        var segmenter = SpeechSegmenter()
        let pieces = segmenter.append(buffer) + segmenter.finish()
        let item = "item_\(WireID.random)"
        try await commit(item)
        for piece in pieces { await jobs.send(Job(item: item, step: .hear(piece))) }
        await jobs.send(Job(item: item, step: .end))
        try await renew()
    }

    private func forget() async throws {
        if let item { await jobs.send(Job(item: item, step: .forget)) }
        item = nil
        try await renew()
    }

    /// Starts again with an empty buffer.
    ///
    /// - Parameter refusing: whether the client gets an error because the buffer was empty.
    private func renew(refusing: Bool = false) async throws {
        sound = try PCMBlocks(.s16le, sampleRate: configuration.sampleRate, name: "audio")
        turns = configuration.turns.map { SpeechTurns($0) } ?? turns
        buffer = []
        (forgotten, received) = (forgotten + received, 0)
        guard refusing else { return }
        throw WireError(
            .badRequest, "expected speech of at least 100 ms in what is committed, found none",
            code: "input_audio_buffer_commit_empty")
    }

    // MARK: Turns

    private func happen(_ event: SpeechTurns.Event) async throws {
        switch event {
        case .began(let sample):
            let new = "item_\(WireID.random)"
            item = new
            try await send(
                "input_audio_buffer.speech_started",
                [.init("audio_start_ms", milliseconds(sample)), .init("item_id", .string(new))])
        case .piece(let piece, let endsTurn):
            guard let item else { return }
            await jobs.send(Job(item: item, step: .hear(piece)))
            if endsTurn { try await endTurn(at: piece.speech.upperBound) }
        }
    }

    private func endTurn(at sample: Int) async throws {
        guard let item else { return }
        self.item = nil
        try await send(
            "input_audio_buffer.speech_stopped",
            [.init("audio_end_ms", milliseconds(sample)), .init("item_id", .string(item))])
        try await commit(item)
        await jobs.send(Job(item: item, step: .end))
    }

    private func commit(_ item: String) async throws {
        let previous = JSONValue.Member("previous_item_id", previousItem.map(JSONValue.string) ?? nil)
        previousItem = item
        try await send("input_audio_buffer.committed", [previous, .init("item_id", .string(item))])
        let object: JSONValue = [
            "id": .string(item), "object": "realtime.item", "type": "message", "status": "completed", "role": "user",
            "content": [["type": "input_audio", "transcript": nil]],
        ]
        try await send(
            isBeta ? "conversation.item.created" : "conversation.item.added", [previous, .init("item", object)])
    }

    /// Time since the beginning of the session.
    private func milliseconds(_ sample: Int) -> JSONValue {
        .integer((forgotten + sample) * 1000 / AudioReader.sampleRate)
    }

    // MARK: Transcription

    private func hear() async throws -> WebSocketErrorCode {
        var turn: (item: String, transcriber: TurnTranscriber, samples: Int)?
        var failed: String?
        for await job in jobs.buffer(policy: .bounded(Self.waitingPieces)) where job.item != failed {
            if turn?.item != job.item { turn = (job.item, transcriber(job.item), 0) }
            do {
                switch job.step {
                case .hear(let piece):
                    turn!.samples += piece.range.count - piece.overlap
                    try await turn!.transcriber.hear(piece)
                case .end:
                    let text = try await turn!.transcriber.finish()
                    let seconds = Double(turn!.samples) / Double(AudioReader.sampleRate)
                    try await send(
                        "conversation.item.input_audio_transcription.completed", about: job.item,
                        [
                            .init("transcript", .string(text)),
                            .init("usage", ["type": "duration", "seconds": .number(seconds)]),
                        ])
                    turn = nil
                case .forget: turn = nil
                }
            } catch let error as any DiagnosedError {
                failed = job.item
                let visible = WireError.visible(error, server.logger)
                try await send(
                    "conversation.item.input_audio_transcription.failed", about: job.item,
                    [.init("error", visible.object["error"]!)])
            }
        }
        throw CancellationError()
    }

    private func transcriber(_ item: String) -> TurnTranscriber {
        var options = configuration.transcription
        options.generation.yield(to: client)
        return server.pipeline.turnTranscriber(options) { delta in
            try await self.send(
                "conversation.item.input_audio_transcription.delta", about: item, [.init("delta", .string(delta))])
        }
    }

    // MARK: Sending

    private func send(_ type: String, about item: String, _ members: [JSONValue.Member]) async throws {
        try await send(type, [.init("item_id", .string(item)), .init("content_index", 0)] + members)
    }

    private func send(_ type: String, _ members: [JSONValue.Member]) async throws {
        try await outbound.write(Self.frame(Self.event(type, members)))
    }

    private func send(_ error: WireError, about id: String? = nil) async throws {
        try await outbound.write(Self.frame(Self.event(error, about: id)))
    }

    static func frame(_ event: JSONValue) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: event.json))
    }

    /// - Parameter id: id of the client's event that caused the error.
    static func event(_ error: WireError, about id: String? = nil) -> JSONValue {
        guard case .object(let members)? = error.object["error"] else { return error.object }
        return event(
            "error", [.init("error", .object(members + [.init("event_id", id.map(JSONValue.string) ?? nil)]))])
    }

    private static func event(_ type: String, _ members: [JSONValue.Member]) -> JSONValue {
        .object([.init("type", .string(type)), .init("event_id", .string("event_\(WireID.random)"))] + members)
    }
}
