import Foundation
import Hummingbird
import HummingbirdTesting
import JSONText
import Logging
import TestSupport
import Tracing

@testable import Gemma4Kit
@testable import Gemma4Server
@testable import Generation

/// A server of one of the tiny models, asked without a network.
struct Served {
    let pipeline: Gemma4Pipeline
    let server: ModelServer

    init(
        _ variant: String = "E2B", limits: EngineLimits = .init(), logger: Logger = Logger(label: "test"),
        tracer: any Tracer = InstrumentationSystem.tracer,
        change: (inout ServerOptions) -> Void = { _ in }
    ) throws {
        pipeline = try Gemma4Pipeline(
            contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: 2, limits: limits)
        var options = ServerOptions(modelName: "tiny")
        change(&options)
        server = ModelServer(pipeline, options: options, tracer: tracer, logger: logger)
    }

    /// A server of the tiny model that makes embeddings.
    init(embedder: Embedder, change: (inout ServerOptions) -> Void = { _ in }) {
        pipeline = embedder.pipeline
        var options = ServerOptions(modelName: "tiny")
        change(&options)
        server = ModelServer(embedder, options: options, logger: Logger(label: "test"))
    }

    func test<Value>(
        _ setup: TestingSetup = .router, _ body: @Sendable (any TestClientProtocol) async throws -> Value
    ) async throws -> Value {
        try await server.application(address: .hostname("127.0.0.1", port: 0)).test(setup, body)
    }

    /// The answer to a request in JSON.
    func post(_ uri: String, _ body: JSONValue, headers: HTTPFields = [:]) async throws -> TestResponse {
        try await test { try await $0.post(uri, body, headers: headers) }
    }
}

extension TestClientProtocol {
    func post(_ uri: String, _ body: JSONValue, headers: HTTPFields = [:]) async throws -> TestResponse {
        try await execute(uri: uri, method: .post, headers: headers, body: ByteBuffer(string: body.json))
    }
}

extension TestResponse {
    var text: String { String(buffer: body) }
    var json: JSONValue { get throws { try JSONValue(parsing: text) } }

    /// The events of a stream: their names and data.
    var events: [(name: String?, data: String)] {
        text.components(separatedBy: "\n\n").filter { !$0.isEmpty && !$0.hasPrefix(":") }.map { event in
            let lines = event.split(separator: "\n")
            let name = lines.first { $0.hasPrefix("event: ") }.map { String($0.dropFirst(7)) }
            return (name, lines.filter { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }.joined())
        }
    }

    /// Those that hold JSON.
    var chunks: [JSONValue] {
        get throws { try events.filter { $0.data != "[DONE]" }.map { try JSONValue(parsing: $0.data) } }
    }
}

extension JSONValue {
    /// The element of an array.
    subscript(index: Int) -> JSONValue? {
        guard case .array(let values) = self, values.indices.contains(index) else { return nil }
        return values[index]
    }

    var values: [JSONValue] { if case .array(let values) = self { values } else { [] } }
    var integer: Int? { if case .integer(let value) = self { value } else { nil } }
}
