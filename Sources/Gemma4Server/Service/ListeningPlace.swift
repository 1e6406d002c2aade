import Foundation
import Hummingbird
import NIOCore

/// Where a server listens: a port, or a socket in the file system.
public struct ListeningPlace: Sendable, CustomStringConvertible {
    private enum Kind: Sendable {
        case port(host: String, Int)
        case socket(path: String)
    }

    private let kind: Kind

    /// - Parameter host: by default this machine alone; `0.0.0.0` for every network that it is in.
    public init(host: String = "127.0.0.1", port: Int = 8080) { kind = .port(host: host, port) }

    public init(unixSocket path: String) { kind = .socket(path: path) }

    var address: BindAddress {
        switch kind {
        case .port(let host, let port): .hostname(host, port: port)
        case .socket(let path): .unixDomainSocket(path: path)
        }
    }

    public var description: String { description(port: nil) }

    /// - Parameter port: the one that the system gave, where 0 was asked for.
    func description(port given: Int?) -> String {
        switch kind {
        case .port(let host, let port): (host.contains(":") ? "[\(host)]" : host) + ":\(given ?? port)"
        case .socket(let path): path
        }
    }

    /// Removes the socket of a server that has ended without doing so.
    ///
    /// - Throws: `ListenError` if something else is there, or a server that listens.
    func prepare() throws(ListenError) {
        guard case .socket(let path) = kind else { return }
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ListenError(place: path, reason: "there is a file, which is no socket")
        }
        guard !Self.isAlive(path) else { throw ListenError(place: path, reason: "another server listens there") }
        unlink(path)
    }

    func clear() {
        if case .socket(let path) = kind { unlink(path) }
    }

    private static func isAlive(_ path: String) -> Bool {
        guard let address = try? SocketAddress(unixDomainSocketPath: path) else { return false }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        return address.withSockAddr { connect(descriptor, $0, socklen_t($1)) } == 0
    }
}

/// Why a server cannot listen.
public struct ListenError: Error, CustomStringConvertible {
    public let place, reason: String

    public var description: String { "\(place): cannot listen: \(reason)" }
}
