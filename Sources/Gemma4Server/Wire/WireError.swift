import Gemma4
import Gemma4Kit
import Generation
import Hummingbird
import Logging
import NIOCore
import Tokenization

/// An error response to a client.
struct WireError: Error, Equatable {
    var status: HTTPResponse.Status
    var message: String
    /// The request member that is invalid.
    var parameter: String?
    var code: String?
    var retryAfterSeconds: Int?

    init(
        _ status: HTTPResponse.Status, _ message: String, parameter: String? = nil, code: String? = nil
    ) {
        (self.status, self.message, self.parameter, self.code) = (status, message, parameter, code)
    }

    /// - Parameter limit: describes the limit that is exhausted.
    static func busy(_ limit: String = "as this server takes", retryAfter seconds: Double) -> WireError {
        let wait = Int(min(max(seconds.rounded(.up), 1), 60))
        var error = WireError(
            .tooManyRequests, "as many answers are asked for \(limit); try again in \(wait) s",
            code: "rate_limit_exceeded")
        error.retryAfterSeconds = wait
        return error
    }

    static func tooLarge(_ limit: Int) -> WireError {
        WireError(.contentTooLarge, "the body: expected at most \(limit) bytes, found more", code: "request_too_large")
    }

    /// The error as shown to clients: without paths and internals of the server. Nil for errors of the server itself.
    init?(_ error: any Error) {
        switch error {
        case let error as WireError: self = error
        case let error as ChatError:
            let place = error.message.map { "messages[\($0)]" + (error.key.isEmpty ? "" : ".\(error.key)") }
            self.init(.badRequest, "\(error)", parameter: place ?? error.key)
        case let error as EngineError:
            switch error.code {
            case .busy: self = .busy(retryAfter: 1)
            case .memory:
                self.init(
                    .contentTooLarge, "prompt and answer take more memory than this server gives to one; shorten them",
                    code: "context_length_exceeded")
            }
        case let error as ModelInputError:
            switch error.code {
            case .notFinite: return nil
            case .contextLength: self.init(.badRequest, "\(error)", code: "context_length_exceeded")
            case .noTower(let kind): self.init(.badRequest, "this model takes no \(kind)", code: "unsupported_medium")
            default: self.init(.badRequest, "\(error)")
            }
        case let error as HTTPError:
            self.init(error.status, error.body ?? error.status.reasonPhrase.lowercased())
        case is NIOTooManyBytesError: self.init(.contentTooLarge, "the body is too large", code: "request_too_large")
        case let error as any DiagnosedError:
            switch error.diagnosis.kind {
            case .damagedModel, .cannotCreate: return nil
            case .noInput: self.init(.badRequest, "\(error)")
            default: self.init(.init(code: error.diagnosis.kind.httpStatus), "\(error)")
            }
        default: return nil
        }
    }

    static let internalError = WireError(
        .internalServerError, "something went wrong in the server; its log says what", code: "internal_error")

    /// OpenAI's error type.
    var type: String {
        switch status.code {
        case 401: "authentication_error"
        case 403: "permission_error"
        case 429: "rate_limit_error"
        case 500...: "server_error"
        default: "invalid_request_error"
        }
    }

    var object: JSONValue {
        [
            "error": [
                "message": .string(message), "type": .string(type), "param": parameter.map(JSONValue.string) ?? nil,
                "code": code.map(JSONValue.string) ?? nil,
            ]
        ]
    }

    /// - Parameter path: path of the request; Anthropic's API has its own form of errors.
    func response(_ path: String) -> Response {
        var response = Response(json: path.hasPrefix("/v1/messages") ? anthropicObject : object, status: status)
        if let retryAfterSeconds { response.headers[.retryAfter] = String(retryAfterSeconds) }
        return response
    }
}

/// Converts errors of routes into OpenAI's error objects, and logs those of the server.
public struct WireErrors: RouterMiddleware {
    /// The context of a request to a model server.
    public typealias Context = ServerContext

    let logger: Logger

    /// Middleware that writes unexpected errors to the log.
    public init(logger: Logger) { self.logger = logger }

    /// Passes the request on, and answers errors as OpenAI or Anthropic spell them.
    public func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound {
            return WireError(
                .notFound, "there is no \(request.method.rawValue) \(request.uri.path) here", code: "unknown_url"
            ).response(request.uri.path)
        } catch {
            return WireError.visible(error, logger).response(request.uri.path)
        }
    }
}

extension WireError {
    /// The error as shown to the client; the rest is only logged.
    static func visible(_ error: any Error, _ logger: Logger) -> WireError {
        if let known = WireError(error) { return known }
        if error is CancellationError {
            // nginx's status; it appears only in the log.
            return WireError(.init(code: 499, reasonPhrase: "Client Closed Request"), "the client has gone")
        }
        logger.error("\(error)")
        return .internalError
    }
}

extension Response {
    init(json: JSONValue, status: HTTPResponse.Status = .ok) {
        self.init(
            status: status, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(string: json.json)))
    }
}
