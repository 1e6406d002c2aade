import Hummingbird

/// Allows scripts of listed origins to send requests (CORS), see https://fetch.spec.whatwg.org/#http-cors-protocol.
struct AllowOrigins: RouterMiddleware {
    typealias Context = ServerContext

    let options: ServerOptions

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        guard let origin = request.headers[.origin], options.allows(origin) else {
            return try await next(request, context)
        }
        var response: Response
        if request.method == .options, request.headers[.accessControlRequestMethod] != nil {
            response = Response(
                status: .noContent,
                headers: [
                    .accessControlAllowMethods: "GET, POST, DELETE, OPTIONS",
                    .accessControlAllowHeaders: request.headers[.accessControlRequestHeaders]
                        ?? "authorization, content-type",
                    .accessControlMaxAge: "600",
                ])
        } else {
            response = try await next(request, context)
        }
        response.headers[.accessControlAllowOrigin] = origin
        response.headers[.vary] = "Origin"
        return response
    }
}

extension ServerOptions {
    func allows(_ origin: String) -> Bool { origins.contains(origin) || origins.contains("*") }
}
