import Foundation
import Hummingbird
import Synchronization
import Tokenization

/// The keys that clients may show, from a file with one in each line; a line that begins with `#` is a remark.
public final class APIKeys: Sendable {
    private let file: URL
    /// SHA-256, so that all that are compared have one length.
    private let digests = Mutex<[String]>([])

    /// - Throws: `APIKeyError` if the file cannot be read, or holds no key.
    public init(contentsOf file: URL) throws(APIKeyError) {
        self.file = file
        try reload()
    }

    /// Reads the file anew; where that fails the old keys hold.
    ///
    /// - Returns: how many keys there are.
    /// - Throws: as `init`.
    @discardableResult public func reload() throws(APIKeyError) -> Int {
        guard let text = try? String(contentsOf: file, encoding: .utf8) else {
            throw APIKeyError(file: file.path, reason: "cannot be read as text in UTF-8")
        }
        let keys = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty && !$0.hasPrefix("#") }
        guard !keys.isEmpty else {
            throw APIKeyError(file: file.path, reason: "expected a key in each line, found none")
        }
        digests.withLock { $0 = keys.map(Self.digest) }
        return keys.count
    }

    /// Takes as long whichever key is given, and wherever it differs.
    func accept(_ key: String) -> Bool {
        let given = Self.digest(key)
        var isKnown: UInt8 = 0
        for digest in digests.withLock({ $0 }) {
            let difference = zip(digest.utf8, given.utf8).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) }
            isKnown |= difference == 0 ? 1 : 0
        }
        return isKnown == 1
    }

    static func digest(_ key: String) -> String { SHA256.hex(Array(key.utf8)) }
}

/// Why there are no keys.
public struct APIKeyError: Error, CustomStringConvertible {
    public let file, reason: String

    public var description: String { "\(file): \(reason)" }
}

/// Lets in who shows a key: `Authorization: Bearer …`, or `x-api-key: …` as Anthropic's clients do. Whether the server lives
/// may be asked without.
struct RequireKey: RouterMiddleware {
    typealias Context = ServerContext

    let keys: APIKeys
    static let open: Set = ["/", "/page.css", "/page.js", "/health", "/ready"]

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        guard !Self.open.contains(request.uri.path) else { return try await next(request, context) }
        let bearer = request.headers[.authorization].flatMap { header -> String? in
            let parts = header.split(separator: " ", maxSplits: 1)
            return parts.count == 2 && parts[0].lowercased() == "bearer" ? String(parts[1]) : nil
        }
        guard let key = bearer ?? request.headers[.init("x-api-key")!] else {
            throw WireError(
                .unauthorized, "this server wants a key: Authorization: Bearer …", code: "missing_api_key")
        }
        guard keys.accept(key) else {
            throw WireError(.unauthorized, "the key is none of this server's", code: "invalid_api_key")
        }
        var context = context
        context.client = APIKeys.digest(key)
        return try await next(request, context)
    }
}
