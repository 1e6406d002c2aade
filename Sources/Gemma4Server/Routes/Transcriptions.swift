import Foundation
import Gemma4Kit
import Hummingbird

extension ModelServer {
    /// `POST /v1/audio/transcriptions` and `/v1/audio/translations`, which translates into English.
    ///
    /// Source: https://platform.openai.com/docs/api-reference/audio.
    func transcription(_ request: Request, _ context: ServerContext, translates: Bool) async throws -> Response {
        let places = try admission.enter(1, of: context.client)
        let form = try await MultipartForm(request, limit: options.uploadBytes)
        var asked = try TranscriptionRequest(form, translates: translates)
        asked.options.generation.yield(to: context.client)
        do {
            return try await transcription(asked, places, context)
        } catch let error as WireError {
            throw error
        } catch {
            // The error must not show the client the file's path on the server.
            guard var known = WireError(error) else { throw error }
            known.message = known.message.replacing(asked.file.url.path, with: asked.file.name)
            throw known
        }
    }

    private func transcription(
        _ asked: TranscriptionRequest, _ places: Admission.Places, _ context: ServerContext
    ) async throws -> Response {
        let stream = pipeline.transcribe(.file(asked.file.url), options: asked.options)
        let limit = options.recordingSeconds
        guard asked.isStreamed else {
            let transcript = try await HangUp.watching(context.channel) {
                var transcript = Transcript()
                for try await event in stream {
                    try event.check(limit)
                    transcript.append(event)
                }
                try Task.checkCancellation()
                return transcript
            }
            places.leave()
            return try asked.response(transcript)
        }
        // Errors until the first piece is found have their own HTTP status.
        let first = try await HangUp.watching(context.channel) {
            var iterator = stream.makeAsyncIterator()
            let first = try await iterator.next()
            try first?.check(limit)
            return first
        }
        guard let first else { throw CancellationError() }
        let hangUp = await HangUp.of(context.channel)
        return Response(
            eventStream: ResponseBody { [logger] output in
                defer { places.leave() }
                var writer = TranscriptEventWriter(asked)
                do {
                    try await output.write(writer.write(first))
                    for try await event in stream {
                        if hangUp?.isGone == true { throw CancellationError() }
                        try event.check(limit)
                        try await output.write(writer.write(event))
                    }
                    try Task.checkCancellation()
                } catch  where !(error is CancellationError) {
                    var visible = WireError.visible(error, logger)
                    visible.message = visible.message.replacing(asked.file.url.path, with: asked.file.name)
                    try await output.write([ServerSentEvent(visible.object)])
                }
                try await output.finish(nil)
            })
    }
}

extension TranscriptEvent {
    /// - Throws: `WireError` if the recording exceeds the limit.
    fileprivate func check(_ limit: Double?) throws {
        guard let limit else { return }
        let length =
            switch self {
            case .progress(let place, let whole): whole ?? place
            // Of silence there is no progress.
            case .end(let report): report.duration
            case .notice, .segment: 0.0
            }
        guard length > limit else { return }
        throw WireError(
            .contentTooLarge, "file: expected a recording of at most \(Int(limit)) s, found a longer one",
            parameter: "file")
    }
}

/// The parameters of a transcription request.
private struct TranscriptionRequest: Sendable {
    enum Format: String, CaseIterable {
        case json, text, srt, vtt
        case verboseJSON = "verbose_json"
    }

    let file: UploadedFile
    var options = TranscriptionOptions()
    var format = Format.json
    let isStreamed: Bool

    init(_ form: MultipartForm, translates: Bool) throws(WireError) {
        guard let file = form.files.first(where: { $0.name == "file" })?.file else {
            throw WireError(.badRequest, "file: expected a recording, found none", parameter: "file")
        }
        self.file = file
        func refuse(_ name: String, _ expected: String, _ found: String) -> WireError {
            WireError(
                .badRequest, "\(name): expected \(expected), found \(found)", parameter: name, code: "invalid_value")
        }
        if let name = form.value("response_format") {
            guard let format = Format(rawValue: name) else {
                throw refuse("response_format", Format.allCases.map(\.rawValue).joined(separator: ", "), name)
            }
            self.format = format
        }
        if let code = form.value("language"), !code.isEmpty {
            guard let language = Language(code: code) else {
                throw refuse("language", "a code such as de or pt-BR", String(code.prefix(40)))
            }
            options.language = language
        }
        if translates { options.translation = Language(code: "en") }
        options.hint = form.value("prompt").flatMap { $0.isEmpty ? nil : $0 }
        if let text = form.value("temperature"), !text.isEmpty {
            guard let temperature = Float(text), (0...2).contains(temperature) else {
                throw refuse("temperature", "a number from 0 to 2", String(text.prefix(40)))
            }
            options.generation.sampling?.temperature = temperature
        }
        for granularity in form.values("timestamp_granularities") where granularity != "segment" {
            throw refuse("timestamp_granularities", "segment; the model gives words no times", granularity)
        }
        for name in ["include", "known_speaker_names", "known_speaker_references"] {
            if let value = form.values(name).first { throw refuse(name, "nothing", String(value.prefix(40))) }
        }
        if let strategy = form.value("chunking_strategy"), strategy != "auto" {
            throw refuse(
                "chunking_strategy", "auto: recordings are cut where nobody speaks", String(strategy.prefix(40)))
        }
        switch form.value("stream")?.lowercased() {
        case nil, "", "false", "0": isStreamed = false
        case "true", "1":
            isStreamed = true
            guard format == .json || format == .verboseJSON else {
                throw refuse("response_format", "json or verbose_json for a stream", format.rawValue)
            }
        case let other?: throw refuse("stream", "true or false", String(other.prefix(40)))
        }
    }

    var temperature: Double { Double(options.generation.sampling?.temperature ?? 0) }

    static func usage(_ transcript: Transcript) -> JSONValue {
        ["type": "duration", "seconds": .integer(Int(transcript.report.duration.rounded(.up)))]
    }

    func response(_ transcript: Transcript) throws -> Response {
        switch format {
        case .json: Response(json: ["text": .string(transcript.text), "usage": Self.usage(transcript)])
        case .verboseJSON: Response(json: try verbose(transcript))
        case .text: plain(transcript.text + "\n", "text/plain")
        case .srt: plain(TranscriptWriter.whole(transcript, .srt, .init(options)), "application/x-subrip")
        case .vtt: plain(TranscriptWriter.whole(transcript, .vtt, .init(options)), "text/vtt")
        }
    }

    private func plain(_ text: String, _ type: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "\(type); charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    /// The library's object, with additional members of OpenAI's.
    private func verbose(_ transcript: Transcript) throws -> JSONValue {
        let object = try JSONValue(parsing: TranscriptWriter.whole(transcript, .json, .init(options)))
        guard case .object(var members) = object else { return object }
        for (index, member) in members.enumerated() {
            guard member.key == "segments", case .array(let segments) = member.value else { continue }
            let completed = segments.map { segment -> JSONValue in
                guard case .object(let members) = segment else { return segment }
                return .object(
                    members + [
                        .init("seek", .integer(Int((segment["start"]?.double ?? 0) * 100))),
                        .init("temperature", .number(temperature)),
                        .init("compression_ratio", nil),
                    ])
            }
            members[index] = .init("segments", .array(completed))
        }
        members.append(.init("usage", Self.usage(transcript)))
        return .object(members)
    }
}

/// Writes `transcript.text.delta`, `transcript.text.segment` if segments are requested, and `transcript.text.done`.
private struct TranscriptEventWriter {
    private let showsSegments: Bool
    private var transcript = Transcript()

    init(_ asked: TranscriptionRequest) { showsSegments = asked.format == .verboseJSON }

    mutating func write(_ event: TranscriptEvent) -> [ServerSentEvent] {
        let before = transcript.text
        transcript.append(event)
        switch event {
        case .progress, .notice: return []
        case .segment(let segment):
            let delta = String(transcript.text.dropFirst(before.count))
            var events: [ServerSentEvent] = []
            if !delta.isEmpty {
                events.append(Self.event("transcript.text.delta", [.init("delta", .string(delta))]))
            }
            if showsSegments {
                events.append(
                    Self.event(
                        "transcript.text.segment",
                        [
                            .init("id", .string("seg_\(transcript.segments.count - 1)")),
                            .init("start", .number(segment.start)), .init("end", .number(segment.end)),
                            .init("text", .string(segment.text)),
                        ]))
            }
            return events
        case .end:
            return [
                Self.event(
                    "transcript.text.done",
                    [
                        .init("text", .string(transcript.text)),
                        .init("usage", TranscriptionRequest.usage(transcript)),
                    ]),
                .done,
            ]
        }
    }

    private static func event(_ type: String, _ members: [JSONValue.Member]) -> ServerSentEvent {
        ServerSentEvent(.object([.init("type", .string(type))] + members), name: type)
    }
}
