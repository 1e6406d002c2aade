import AsyncHTTPClient
import Foundation
import Gemma4Kit
import NIOCore
import NIOHTTP1
import NIOPosix

/// Fetches media by URL, from allowed hosts only.
///
/// The host of every redirect must be allowed too. A name is resolved once, all its addresses must be public, and the
/// connection uses one of the checked addresses, so DNS rebinding has no effect. An address that is listed itself may
/// be private.
struct MediaFetcher: Sendable {
    let hosts: [MediaHost]
    /// Maximum size of one medium, in bytes.
    let limit: Int
    /// Maximum time for one medium, in seconds, including redirects.
    let seconds: Int
    /// Resolves a name to numeric addresses.
    var resolve: @Sendable (String) async throws -> [String] = Self.addresses
    /// Whether connections to a numeric address are allowed.
    var permits: @Sendable (String) -> Bool = { InternetAddress($0)?.isPublic == true }

    private static let mostRedirects = 5

    /// - Returns: the medium, on disk.
    /// - Throws: `WireError` if the URL is not allowed, or yields no medium.
    func fetch(_ reference: String) async throws -> UploadedFile {
        try await withThrowingTaskGroup(of: UploadedFile?.self) { group in
            group.addTask { try await follow(reference) }
            group.addTask {
                try await Task.sleep(for: .seconds(seconds))
                return nil
            }
            defer { group.cancelAll() }
            guard let file = try await group.next()! else {
                throw Self.error(reference, "it takes more than \(seconds) s")
            }
            return file
        }
    }

    private func follow(_ reference: String) async throws -> UploadedFile {
        var place = try Place(reference, hosts, named: reference)
        for _ in 0...Self.mostRedirects {
            switch try await ask(place, reference) {
            case .file(let file): return file
            case .redirect(let location):
                guard let url = URL(string: location, relativeTo: place.url) else {
                    throw Self.error(reference, "it leads to no address")
                }
                place = try Place(url.absoluteString, hosts, named: reference)
            }
        }
        throw Self.error(reference, "it leads on more than \(Self.mostRedirects) times")
    }

    private enum Outcome {
        case file(UploadedFile)
        case redirect(String)
    }

    private func ask(_ place: Place, _ reference: String) async throws -> Outcome {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        if let address = try await address(of: place, reference) { configuration.dnsOverride = [place.host: address] }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            let outcome = try await ask(client, place, reference)
            try await client.shutdown()
            return outcome
        } catch {
            try? await client.shutdown()
            if error is WireError || error is CancellationError { throw error }
            throw Self.error(reference, "its host cannot be asked")
        }
    }

    private func ask(_ client: HTTPClient, _ place: Place, _ reference: String) async throws -> Outcome {
        var request = HTTPClientRequest(url: place.url.absoluteString)
        request.headers.add(name: "User-Agent", value: "gemma4")
        let response = try await client.execute(request, timeout: .seconds(Int64(seconds)))
        if (300..<400).contains(response.status.code), let location = response.headers.first(name: "Location") {
            return .redirect(location)
        }
        guard response.status == .ok else { throw Self.error(reference, "its host answers \(response.status.code)") }
        let file = try UploadedFile(named: place.url.lastPathComponent, in: FileManager.default.temporaryDirectory)
        var count = 0
        for try await chunk in response.body {
            count += chunk.readableBytes
            guard count <= limit else { throw Self.error(reference, "it has more than \(limit) bytes") }
            try file.append(Array(buffer: chunk)[...])
        }
        try Task.checkCancellation()
        try file.close()
        return .file(file)
    }

    /// The address to connect to; nil if the host is an address itself.
    private func address(of place: Place, _ reference: String) async throws -> String? {
        guard InternetAddress(place.host) == nil else { return nil }
        let addresses = (try? await resolve(place.host)) ?? []
        guard let first = addresses.first else { throw Self.error(reference, "its host is not known") }
        guard addresses.allSatisfy(permits) else {
            throw Self.error(reference, "its host is within a private network", code: "address_not_allowed")
        }
        return first
    }

    private static func addresses(of name: String) async throws -> [String] {
        try await NIOThreadPool.singleton.runIfActive {
            var hints = addrinfo()
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var first: UnsafeMutablePointer<addrinfo>?
            guard getaddrinfo(name, nil, &hints, &first) == 0 else { return [] }
            defer { freeaddrinfo(first) }
            var texts: [String] = []
            var next = first
            while let entry = next?.pointee {
                var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                if getnameinfo(
                    entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
                {
                    texts.append(text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
                }
                next = entry.ai_next
            }
            return texts
        }
    }

    /// A URL whose host is allowed.
    private struct Place {
        let url: URL
        /// In lowercase; an IPv6 address without brackets.
        let host: String

        init(_ text: String, _ hosts: [MediaHost], named reference: String) throws(WireError) {
            guard var parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
                let standard = ["http": 80, "https": 443][scheme],
                let host = parts.host?.lowercased().trimmingCharacters(in: ["[", "]"]), !host.isEmpty,
                parts.user == nil, parts.password == nil
            else { throw MediaFetcher.error(reference, "expected an http or https address with a host") }
            let port = parts.port ?? standard
            guard hosts.contains(where: { $0.covers(host, port, isStandard: port == standard) }) else {
                throw MediaFetcher.error(
                    reference, "\(host) is no host that this server fetches from", code: "address_not_allowed")
            }
            parts.host = host.contains(":") ? "[\(host)]" : host
            parts.fragment = nil
            guard let url = parts.url else { throw MediaFetcher.error(reference, "expected an address") }
            (self.url, self.host) = (url, host)
        }
    }

    private static func error(_ reference: String, _ reason: String, code: String = "invalid_address") -> WireError {
        WireError(.badRequest, "\(reference.prefix(200)): \(reason)", code: code)
    }
}
