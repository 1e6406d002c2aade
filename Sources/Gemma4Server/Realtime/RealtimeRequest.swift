import Foundation
import Gemma4Kit
import HTTPTypes
import HummingbirdCore
import NIOHTTP1

/// An upgrade request to the WebSocket `/v1/realtime`.
struct RealtimeRequest: Sendable {
    static let path = "/v1/realtime"

    /// Nil if the server has no keys.
    let client: Client?
    /// Whether events have the names and forms of before August 2025.
    let isBeta: Bool
    /// Headers of the response in addition to those of WebSocket.
    let headers: HTTPHeaders

    /// - Throws: `WireError` if the client is not authorized, or requests something else.
    init(_ request: HTTPRequest, _ server: ModelServer) throws(WireError) {
        let uri = URI(request.path ?? "")
        guard uri.path == Self.path else { throw WireError(.notFound, "there is nothing here") }
        client = try server.options.keys?.client(request.headerFields)
        // Browsers send no preflight request for a WebSocket, so the origin is checked here.
        if let origin = request.headerFields[.origin], !server.options.allows(origin),
            origin.split(separator: "://").last.map(String.init) != request.authority
        {
            throw WireError(
                .forbidden, "\(origin): this server lets no pages from there ask", code: "origin_not_allowed")
        }
        guard uri.queryParameters["intent"] == "transcription" else {
            throw WireError(
                .badRequest, "intent: expected transcription: the model listens and writes, it does not speak",
                parameter: "intent", code: "invalid_value")
        }
        guard server.embedder == nil, server.pipeline.model.configuration.takesSound else {
            throw WireError(
                .badRequest, "\(server.options.modelName) hears nothing", parameter: "model",
                code: "unsupported_model")
        }
        isBeta = request.headerFields[.init("OpenAI-Beta")!] == "realtime=v1"
        let offered = request.headerFields[values: .secWebSocketProtocol]
            .flatMap { $0.split(separator: ",") }.map { $0.trimmingCharacters(in: .whitespaces) }
        headers = offered.contains("realtime") ? ["Sec-WebSocket-Protocol": "realtime"] : [:]
    }
}
