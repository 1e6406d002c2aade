import Foundation
import Gemma4Kit
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Tracing
import UnixSignals

/// An HTTP server with OpenAI's API for one model. The engine batches concurrent requests.
///
/// `application` makes a complete server; `addRoutes` adds the same routes to another router.
public struct ModelServer: Sendable {
    let pipeline: Gemma4Pipeline
    /// The embedder, if the model is an encoder.
    let embedder: Embedder?
    let options: ServerOptions
    let admission: Admission
    let files: FileStore
    let metrics: PrometheusMetrics
    let tracer: any Tracer
    let logger: Logger

    /// - Parameters:
    ///   - metrics: shown at `/metrics` in addition to the engine's own.
    ///   - tracer: receives a span for each request; by default the tracer of the process, if any.
    public init(
        _ pipeline: Gemma4Pipeline, options: ServerOptions, metrics: PrometheusMetrics = .init(),
        tracer: any Tracer = InstrumentationSystem.tracer, logger: Logger = Logger(label: "gemma4.server")
    ) {
        self.init(pipeline, nil, options, metrics, tracer, logger)
    }

    /// A server for embeddings only.
    ///
    /// - Parameters:
    ///   - metrics: shown at `/metrics` in addition to the engine's own.
    ///   - tracer: receives a span for each request; by default the tracer of the process, if any.
    public init(
        _ embedder: Embedder, options: ServerOptions, metrics: PrometheusMetrics = .init(),
        tracer: any Tracer = InstrumentationSystem.tracer, logger: Logger = Logger(label: "gemma4.server")
    ) {
        self.init(embedder.pipeline, embedder, options, metrics, tracer, logger)
    }

    private init(
        _ pipeline: Gemma4Pipeline, _ embedder: Embedder?, _ options: ServerOptions, _ metrics: PrometheusMetrics,
        _ tracer: any Tracer, _ logger: Logger
    ) {
        (self.pipeline, self.embedder, self.options) = (pipeline, embedder, options)
        (self.metrics, self.tracer, self.logger) = (metrics, tracer, logger)
        admission = Admission(places: options.answers, perClient: options.answersPerKey)
        files = FileStore(limit: options.storedBytes)
    }

    /// Runs until the process receives SIGTERM or SIGINT, then finishes the answers in progress, and returns.
    ///
    /// - Parameters:
    ///   - grace: maximum duration of answers after the signal; longer ones are cut.
    ///   - onListening: called with the place once the server listens.
    /// - Throws: `ListenError`, `CertificateError`.
    public func run(
        at place: ListeningPlace = .init(), grace: Duration = .seconds(30),
        onListening: @escaping @Sendable (String) -> Void = { _ in }
    ) async throws {
        try place.prepare()
        defer { place.clear() }
        let isListening = Atomic(false)
        let application = try application(address: place.address) { channel in
            isListening.store(true, ordering: .releasing)
            onListening(place.description(port: channel.localAddress?.port))
        }
        let services: [any Service] =
            [application] + (options.keys.map { [KeyReloads(keys: $0, logger: logger)] } ?? [])
        var configuration = ServiceGroupConfiguration(
            services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        configuration.maximumGracefulShutdownDuration = grace
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch  where !isListening.load(ordering: .acquiring) {
            throw ListenError(place: "\(place)", reason: Self.reason(error))
        }
    }

    private static func reason(_ error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }

    /// The server as a service of a service group: on graceful shutdown it finishes the answers in progress.
    ///
    /// - Parameters:
    ///   - address: by default port 8080 of the loopback interface.
    ///   - onServerRunning: called once the server listens.
    /// - Throws: `CertificateError`.
    public func application(
        address: BindAddress = .hostname(), onServerRunning: @escaping @Sendable (any Channel) async -> Void = { _ in }
    ) throws -> some ApplicationProtocol {
        let router = Router(context: ServerContext.self)
        router.add(middleware: MeasureRequests(metrics: metrics, tracer: tracer, logger: logger))
        if !options.origins.isEmpty { router.add(middleware: AllowOrigins(options: options)) }
        router.add(middleware: WireErrors(logger: logger))
        if let keys = options.keys { router.add(middleware: RequireKey(keys: keys)) }
        addRoutes(to: router)
        let plain = HTTPServerBuilder { responder in
            UpgradableChannel(
                http: HTTP1Channel(
                    responder: responder,
                    configuration: .init(additionalChannelHandlers: [HangUp()], idleTimeout: .seconds(75))),
                server: self)
        }
        return Application(
            router: router,
            server: try options.certificate.map { try .tls(plain, tlsConfiguration: $0.configuration) } ?? plain,
            configuration: .init(address: address, serverName: "gemma4"), onServerRunning: onServerRunning,
            logger: logger)
    }

    /// Adds all routes except the WebSocket of `/v1/realtime`, which needs the server of `application`. Errors become
    /// OpenAI's error objects if `WireErrors` is among the router's middleware.
    public func addRoutes(to router: some RouterMethods<ServerContext>) {
        router.get("/health") { _, _ in Response(json: ["status": "ok"]) }
        router.get("/ready") { _, _ in
            let isReady = admission.hasRoom
            return Response(
                json: ["status": isReady ? "ready" : "busy"], status: isReady ? .ok : .serviceUnavailable)
        }
        router.get("/metrics", use: showMetrics)
        router.get("/v1/models") { _, _ in
            Response(json: ["object": "list", "data": [modelObject]])
        }
        router.get("/v1/models/**") { _, context in
            guard context.parameters.getCatchAll().joined(separator: "/") == options.modelName else {
                throw WireError(
                    .notFound, "there is no such model; this server has \(options.modelName)", parameter: "model",
                    code: "model_not_found")
            }
            return Response(json: modelObject)
        }
        router.get(RouterPath(RealtimeRequest.path)) { request, _ -> Response in
            _ = try RealtimeRequest(request.head, self)
            throw WireError(.upgradeRequired, "expected a WebSocket", code: "upgrade_required")
        }
        addFileRoutes(to: router)
        if let embedder {
            router.post("/v1/embeddings") { try await embeddings(embedder, $0, $1) }
            for (path, _) in writingRoutes {
                refuse(path, router, "makes embeddings and writes nothing; ask /v1/embeddings")
            }
        } else {
            Page.addRoutes(to: router)
            router.post("/v1/images/seen", use: seenPicture)
            for (path, answer) in writingRoutes { router.post(path, use: answer) }
            refuse("/v1/embeddings", router, "writes and makes no embeddings; serve EmbeddingGemma 2 for those")
        }
    }

    private typealias Answering = @Sendable (Request, ServerContext) async throws -> Response

    /// Routes that need a generative model.
    private var writingRoutes: [(path: RouterPath, answer: Answering)] {
        [
            ("/v1/chat/completions", chatCompletions), ("/v1/completions", completions), ("/v1/responses", responses),
            ("/v1/messages", messages), ("/v1/messages/count_tokens", countTokens),
            ("/v1/audio/transcriptions", { try await transcription($0, $1, translates: false) }),
            ("/v1/audio/translations", { try await transcription($0, $1, translates: true) }),
        ]
    }

    private func refuse(_ path: RouterPath, _ router: some RouterMethods<ServerContext>, _ reason: String) {
        router.post(path) { [name = options.modelName] _, _ -> Response in
            throw WireError(.badRequest, "\(name) \(reason)", parameter: "model", code: "unsupported_model")
        }
    }

    private var modelObject: JSONValue {
        ["id": .string(options.modelName), "object": "model", "created": 0, "owned_by": "google"]
    }

    /// Reads the whole body as JSON.
    ///
    /// - Throws: `WireError` if it is not JSON, or too large.
    func json(_ request: Request) async throws -> JSONValue {
        let body: ByteBuffer
        do {
            body = try await request.body.collect(upTo: options.bodyBytes)
        } catch is NIOTooManyBytesError {
            throw WireError.tooLarge(options.bodyBytes)
        }
        do {
            let value = try JSONValue(parsing: Array(buffer: body))
            guard case .object = value else {
                throw WireError(.badRequest, "the body: expected an object, found \(value.summary)")
            }
            return value
        } catch let error as JSONValue.SyntaxError {
            throw WireError(.badRequest, "the body is no JSON: \(error)")
        }
    }
}

/// The context of a request, including its connection.
public struct ServerContext: RequestContext {
    /// What Hummingbird keeps about a request.
    public var coreContext: CoreRequestContextStorage
    let channel: any Channel
    /// Nil if the server has no keys.
    var client: Client?
    /// The span of this request.
    var span: (any Span)?

    /// The context of one request.
    public init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}
