import Foundation

/// A host from which media may be fetched: a name or an address, with a port unless it is the default port of the
/// scheme.
public struct MediaHost: Sendable, Hashable, CustomStringConvertible {
    /// In lowercase; an IPv6 address without brackets.
    let name: String
    let port: Int?

    /// - Parameter text: `example.com`, `example.com:8443`, `192.0.2.1` or `[2001:db8::1]:8080`; nil for anything else.
    public init?(_ text: String) {
        guard let parts = URLComponents(string: "http://\(text)"), let host = parts.host?.lowercased(), !host.isEmpty,
            parts.path.isEmpty, parts.query == nil, parts.fragment == nil, parts.user == nil, parts.password == nil
        else { return nil }
        (name, port) = (host.trimmingCharacters(in: ["[", "]"]), parts.port)
    }

    /// Host and port as in a URL.
    public var description: String { (name.contains(":") ? "[\(name)]" : name) + (port.map { ":\($0)" } ?? "") }

    /// Whether this host and port are covered.
    ///
    /// - Parameter isStandard: whether the port is the default port of the scheme.
    func covers(_ name: String, _ port: Int, isStandard: Bool) -> Bool {
        self.name == name && (self.port.map { $0 == port } ?? isStandard)
    }
}

/// A numeric IP address.
enum InternetAddress: Equatable {
    case v4([UInt8])
    case v6([UInt8])

    /// Nil for anything but the usual notations: no abbreviated, octal or hexadecimal ones.
    init?(_ text: String) {
        var (four, six) = (in_addr(), in6_addr())
        if inet_pton(AF_INET, text, &four) == 1 {
            self = .v4(withUnsafeBytes(of: four, Array.init))
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            self = .v6(withUnsafeBytes(of: six, Array.init))
        } else {
            return nil
        }
    }

    /// Whether it is publicly routable: not private, local, shared, reserved or multicast, and without an embedded IPv4
    /// address.
    ///
    /// Source: IANA's special-purpose address registries, RFC 6890.
    var isPublic: Bool {
        let (bytes, ranges): ([UInt8], [Range]) =
            switch self {
            case .v4(let bytes): (bytes, Self.reservedV4)
            case .v6(let bytes): (bytes, Self.reservedV6)
            }
        // Of IPv6 only 2000::/3 is allocated.
        if case .v6 = self, bytes[0] & 0xE0 != 0x20 { return false }
        return !ranges.contains { $0.contains(bytes) }
    }

    private struct Range: Sendable {
        let prefix: [UInt8]
        let bits: Int

        init(_ bits: Int, _ prefix: UInt8...) { (self.prefix, self.bits) = (prefix, bits) }

        func contains(_ address: [UInt8]) -> Bool {
            (0..<bits).allSatisfy { bit in
                let mask = UInt8(0x80) >> (bit % 8)
                let wanted = bit / 8 < prefix.count ? prefix[bit / 8] : 0
                return address[bit / 8] & mask == wanted & mask
            }
        }
    }

    private static let reservedV4 = [
        Range(8, 0), Range(8, 10), Range(10, 100, 64), Range(8, 127), Range(16, 169, 254), Range(12, 172, 16),
        Range(24, 192, 0, 0), Range(24, 192, 0, 2), Range(24, 192, 88, 99), Range(16, 192, 168), Range(15, 198, 18),
        Range(24, 198, 51, 100), Range(24, 203, 0, 113), Range(4, 224), Range(4, 240),
    ]
    private static let reservedV6 = [
        Range(23, 0x20, 0x01), Range(32, 0x20, 0x01, 0x0D, 0xB8), Range(16, 0x20, 0x02), Range(20, 0x3F, 0xFF),
    ]
}
