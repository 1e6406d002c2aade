import Foundation
import HummingbirdTLS

/// A TLS certificate chain and the private key of its first certificate, in PEM.
public struct ServerCertificate: Sendable {
    private let chain, key: URL

    /// Files in PEM: the certificate with its chain, and its private key.
    public init(chain: URL, key: URL) { (self.chain, self.key) = (chain, key) }

    /// - Throws: `CertificateError`.
    var configuration: TLSConfiguration {
        get throws {
            let certificates: [NIOSSLCertificate]
            do { certificates = try NIOSSLCertificate.fromPEMFile(chain.path) } catch {
                throw CertificateError(file: chain.path, expected: "certificates in PEM")
            }
            do {
                return .makeServerConfiguration(
                    certificateChain: certificates.map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: key.path, format: .pem)))
            } catch {
                throw CertificateError(file: key.path, expected: "a private key in PEM without a password")
            }
        }
    }
}

/// Why a certificate cannot be used.
public struct CertificateError: Error, CustomStringConvertible {
    public let file, expected: String

    /// The sentence that names the file and what it lacks.
    public var description: String { "\(file): expected \(expected), found none" }
}
