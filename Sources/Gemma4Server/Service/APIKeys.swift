import Foundation
import Gemma4Kit
import HTTPTypes
import Hummingbird
import Synchronization
import Tokenization

/// A client, identified by its key.
struct Client: Sendable, Equatable {
    /// The digest of the key.
    let id: String
    let priority: GenerationOptions.Priority
}

/// The accepted keys, from a file with one per line; lines that begin with `#` are comments. Requests of a key followed
/// by `batch` have lower priority.
public final class APIKeys: Sendable {
    private let file: URL
    /// By SHA-256, so that all compared values have the same length.
    private let clients = Mutex<[Client]>([])

    /// - Throws: `APIKeyError` if the file cannot be read, or holds no key.
    public init(contentsOf file: URL) throws(APIKeyError) {
        self.file = file
        try reload()
    }

    /// Reloads the file; if that fails, the old keys remain valid.
    ///
    /// - Returns: the number of keys.
    /// - Throws: as `init`.
    @discardableResult public func reload() throws(APIKeyError) -> Int {
        guard let text = try? String(contentsOf: file, encoding: .utf8) else {
            throw APIKeyError(file: file.path, reason: "cannot be read as text in UTF-8")
        }
        var read: [Client] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard let key = words.first, !key.hasPrefix("#") else { continue }
            guard words.count == 1 || words.dropFirst() == ["batch"] else {
                throw APIKeyError(
                    file: file.path, reason: "line \(number + 1): expected a key, and batch or nothing behind it")
            }
            read.append(Client(id: Self.digest(String(key)), priority: words.count == 1 ? .interactive : .batch))
        }
        guard !read.isEmpty else {
            throw APIKeyError(file: file.path, reason: "expected a key in each line, found none")
        }
        clients.withLock { [read] in $0 = read }
        return read.count
    }

    /// Constant time: independent of the given key.
    private func client(_ key: String) -> Client? {
        let given = Self.digest(key)
        return clients.withLock { $0 }.reduce(nil) { found, client in
            let difference = zip(client.id.utf8, given.utf8).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) }
            return difference == 0 ? client : found
        }
    }

    /// The client of a request: `Authorization: Bearer …`; `x-api-key: …` as in Anthropic's API; or, because browsers
    /// cannot set headers of a WebSocket, the protocol `openai-insecure-api-key.…`.
    ///
    /// - Throws: `WireError` if the key is missing or unknown.
    func client(_ headers: HTTPFields) throws(WireError) -> Client {
        let bearer = headers[.authorization].flatMap { header -> String? in
            let parts = header.split(separator: " ", maxSplits: 1)
            return parts.count == 2 && parts[0].lowercased() == "bearer" ? String(parts[1]) : nil
        }
        let prefix = "openai-insecure-api-key."
        let offered = headers[.secWebSocketProtocol]?.split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }.first { $0.hasPrefix(prefix) }
        guard let key = bearer ?? headers[.init("x-api-key")!] ?? offered.map({ String($0.dropFirst(prefix.count)) })
        else {
            throw WireError(
                .unauthorized, "this server wants a key: Authorization: Bearer …", code: "missing_api_key")
        }
        guard let client = client(key) else {
            throw WireError(.unauthorized, "the key is none of this server's", code: "invalid_api_key")
        }
        return client
    }

    private static func digest(_ key: String) -> String { SHA256.hex(Array(key.utf8)) }
}

/// Why the keys cannot be loaded.
public struct APIKeyError: Error, CustomStringConvertible {
    public let file, reason: String

    /// The sentence that names the file and what is wrong with it.
    public var description: String { "\(file): \(reason)" }
}

/// Requires a key, except for health checks.
struct RequireKey: RouterMiddleware {
    typealias Context = ServerContext

    let keys: APIKeys
    static let open: Set = ["/", "/page.css", "/page.js", "/health", "/ready"]

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        guard !Self.open.contains(request.uri.path) else { return try await next(request, context) }
        var context = context
        context.client = try keys.client(request.headers)
        return try await next(request, context)
    }
}
