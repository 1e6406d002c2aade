import Gemma4Kit
import Generation
import Hummingbird
import NIOCore

/// One event of a stream, https://html.spec.whatwg.org/multipage/server-sent-events.html.
struct ServerSentEvent: Sendable {
    var name: String?
    /// A single line.
    var data: String

    init(_ data: JSONValue, name: String? = nil) { (self.data, self.name) = (data.json, name) }

    init(text: String) { data = text }

    static let done = ServerSentEvent(text: "[DONE]")

    /// A comment that keeps connections open while a prompt waits or is prefilled.
    static let pulse = ByteBuffer(string: ": waiting\n\n")

    func append(to buffer: inout ByteBuffer) {
        if let name { buffer.writeString("event: \(name)\n") }
        buffer.writeString("data: \(data)\n\n")
    }
}

/// Converts the answers to a request into the form of one API, token by token.
protocol AnswerWriter: Sendable {
    /// Events before the first token.
    mutating func begin() -> [ServerSentEvent]
    /// - Parameter choice: index of the token's answer, from 0.
    mutating func write(_ token: GeneratedToken, of choice: Int) -> [ServerSentEvent]
    /// Events after the last token of the last answer.
    mutating func end() -> [ServerSentEvent]
    func failure(_ error: WireError) -> [ServerSentEvent]
    /// The complete response, if it is not streamed.
    var object: JSONValue { get }
}

/// The tokens of one or several answers with the index of their answer. For a single consumer, like `ResultStream`.
struct NumberedTokens: AsyncSequence, Sendable {
    private enum Source: Sendable {
        case one(TokenStream)
        case several(ResultStream<(choice: Int, token: GeneratedToken)>)
    }

    private let source: Source

    init(_ streams: [TokenStream]) {
        guard streams.count > 1 else {
            source = .one(streams[0])
            return
        }
        source = .several(
            ResultStream { yield in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (choice, stream) in streams.enumerated() {
                        group.addTask { for try await token in stream { yield((choice, token)) } }
                    }
                    try await group.waitForAll()
                }
            })
    }

    enum Iterator: AsyncIteratorProtocol {
        case one(TokenStream.Iterator)
        case several(ResultStream<(choice: Int, token: GeneratedToken)>.Iterator)

        mutating func next() async throws -> (choice: Int, token: GeneratedToken)? {
            switch self {
            case .one(var iterator):
                let token = try await iterator.next()
                self = .one(iterator)
                return token.map { (0, $0) }
            case .several(var iterator):
                let element = try await iterator.next()
                self = .several(iterator)
                return element
            }
        }
    }

    func makeAsyncIterator() -> Iterator {
        switch source {
        case .one(let stream): .one(stream.makeAsyncIterator())
        case .several(let stream): .several(stream.makeAsyncIterator())
        }
    }
}

/// Waits for the first element of a sequence, one interval at a time. For a single consumer.
final class FirstResult<Base: AsyncSequence & Sendable>: Sendable where Base.Element: Sendable {
    private let results: AsyncThrowingStream<Base.Element?, any Error>
    private let tasks: [Task<Void, Never>]

    /// - Parameter interval: `next` returns nil whenever it has passed.
    init(of base: Base, every interval: Duration) {
        let (results, continuation) = AsyncThrowingStream.makeStream(of: Base.Element?.self)
        self.results = results
        let reader = Task {
            do {
                var iterator = base.makeAsyncIterator()
                guard let first = try await iterator.next() else { throw CancellationError() }
                continuation.yield(first)
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        let ticker = Task {
            while (try? await Task.sleep(for: interval)) != nil { continuation.yield(nil) }
        }
        tasks = [reader, ticker]
    }

    deinit { for task in tasks { task.cancel() } }

    /// The first element; nil if it has not arrived yet.
    ///
    /// - Throws: errors of the sequence; `CancellationError`.
    func next() async throws -> Base.Element? {
        var iterator = results.makeAsyncIterator()
        guard let element = try await iterator.next() else { throw CancellationError() }
        if element != nil { tasks[1].cancel() }
        return element
    }
}

extension ModelServer {
    /// Answers a request, streamed or whole. An error before the first token has its own HTTP status.
    func answer(
        _ asked: AnswerRequest, _ context: ServerContext, _ makeWriter: (Prompt) -> any AnswerWriter
    ) async throws -> Response {
        let places = try admission.enter(asked.count, of: context.client)
        let prompt = try await prompt(asked, context)
        try check(prompt)
        var options = asked.generation
        options.yield(to: context.client)
        let streams = pipeline.generate(prompt, count: asked.count, options: options)
        return try await answer(streams, asked, places, context, makeWriter(prompt))
    }

    /// The prompt of a request; fetches its media from allowed hosts.
    func prompt(_ asked: AnswerRequest, _ context: ServerContext) async throws -> Prompt {
        try await HangUp.watching(context.channel) {
            var options = asked.prompt
            options.resolver = try await resolver(for: asked.messages.references, context)
            return try await pipeline.prompt(asked.messages, options: options)
        }
    }

    /// - Throws: `WireError` if a prompt has more tokens than this server takes.
    func check(_ prompt: Prompt) throws(WireError) {
        guard let limit = options.promptTokens, prompt.tokens.count > limit else { return }
        throw WireError(
            .badRequest, "the prompt: expected at most \(limit) tokens, found \(prompt.tokens.count)",
            code: "context_length_exceeded")
    }

    /// Sends the tokens of the streams in the writer's form.
    func answer(
        _ streams: [TokenStream], _ asked: AnswerRequest, _ places: Admission.Places, _ context: ServerContext,
        _ writer: any AnswerWriter
    ) async throws -> Response {
        let tokens = NumberedTokens(streams)
        guard asked.isStreamed else {
            let (object, usage) = try await HangUp.watching(context.channel) {
                var (writer, usage) = (writer, AnswerUsage())
                for try await (choice, token) in tokens {
                    usage.append(token)
                    _ = writer.write(token, of: choice)
                }
                try Task.checkCancellation()
                return (writer.object, usage)
            }
            places.leave()
            usage.tell(context.span, model: options.modelName)
            return Response(json: object)
        }
        let hangUp = await HangUp.of(context.channel)
        let first = FirstResult(of: tokens, every: options.pulse)
        // An early error has its own HTTP status.
        let early = try await HangUp.watching(context.channel) { try await first.next() }
        return Response(
            eventStream: ResponseBody { [logger, span = context.span, model = options.modelName] output in
                var (writer, usage) = (writer, AnswerUsage())
                defer {
                    places.leave()
                    usage.tell(span, model: model)
                }
                do {
                    var arrived = early
                    while arrived == nil {
                        if hangUp?.isGone == true { throw CancellationError() }
                        try await output.write(ServerSentEvent.pulse)
                        arrived = try await first.next()
                    }
                    usage.append(arrived!.token)
                    try await output.write(writer.begin() + writer.write(arrived!.token, of: arrived!.choice))
                    for try await (choice, token) in tokens {
                        usage.append(token)
                        if hangUp?.isGone == true { throw CancellationError() }
                        try await output.write(writer.write(token, of: choice))
                    }
                    try Task.checkCancellation()
                    try await output.write(writer.end())
                } catch  where !(error is CancellationError) {
                    try await output.write(writer.failure(.visible(error, logger)))
                }
                try await output.finish(nil)
            })
    }
}

extension ResponseBodyWriter {
    mutating func write(_ events: [ServerSentEvent]) async throws {
        guard !events.isEmpty else { return }
        var buffer = ByteBuffer()
        for event in events { event.append(to: &buffer) }
        try await write(buffer)
    }
}

extension Response {
    init(eventStream body: ResponseBody) {
        // The last header disables buffering in nginx.
        self.init(
            status: .ok,
            headers: [
                .contentType: "text/event-stream", .cacheControl: "no-cache",
                .init("X-Accel-Buffering")!: "no",
            ], body: body)
    }
}
