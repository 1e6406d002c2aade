import Foundation
import Hummingbird
import NIOCore

/// The address of a server: a TCP port, or a Unix domain socket.
public struct ListeningPlace: Sendable, CustomStringConvertible {
    private enum Kind: Sendable {
        case port(host: String, Int)
        case socket(path: String)
    }

    private let kind: Kind

    /// - Parameter host: by default the loopback interface; `0.0.0.0` for all interfaces.
    public init(host: String = "127.0.0.1", port: Int = 8080) { kind = .port(host: host, port) }

    /// A Unix domain socket.
    public init(unixSocket path: String) { kind = .socket(path: path) }

    var address: BindAddress {
        switch kind {
        case .port(let host, let port): .hostname(host, port: port)
        case .socket(let path): .unixDomainSocket(path: path)
        }
    }

    /// The address as a person reads it.
    public var description: String { description(port: nil) }

    /// - Parameter port: the port that the system assigned if 0 was given.
    func description(port given: Int?) -> String {
        switch kind {
        case .port(let host, let port): (host.contains(":") ? "[\(host)]" : host) + ":\(given ?? port)"
        case .socket(let path): path
        }
    }

    /// Removes a stale socket of a server that did not end regularly.
    ///
    /// - Throws: `ListenError` if the path is something else, or a socket on which a server listens.
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

    /// The sentence that names the place and the reason.
    public var description: String { "\(place): cannot listen: \(reason)" }
}
